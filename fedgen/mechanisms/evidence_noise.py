"""What the evidence costs each patient of a site, where the study pays for it with noise.

All patients of a site, whatever part they are in, add one vector of L2 norm 1 at most to ONE sum, in which each part
has coordinates of its own (fedgen/evidence/noised). So the sum is one Gaussian mechanism, at rate 1 and asked once: a
patient of the training part pays for training and for it, one of the other parts for it alone.
"""

from __future__ import annotations

from fedgen.study.evidence_section import EvidenceSection
from fedgen.study.training import PrivacySection
from fedgen_privacy.accounting import Spend, calibrate_noise


def evidence_spend(privacy: PrivacySection, evidence: EvidenceSection) -> Spend | None:
    """What the noised sum costs a patient, the same at every site; None where evidence is told without noise.

    Raises:
        PrivacyRefusedError: no noise reaches so small an epsilon.
    """
    if evidence.privacy is None or not privacy.private:
        return None
    sigma = calibrate_noise(epsilon=evidence.privacy.epsilon, delta=privacy.delta, sampling_rate=1.0, steps=1)
    return Spend(sigma, 1.0, 1)
