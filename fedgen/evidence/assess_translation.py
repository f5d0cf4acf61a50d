"""All rows of a translation on the test patients of some sites: of all in a simulation, of one in a federation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from fedgen.data.site_data import Part, SiteData
from fedgen.evidence.assess import check_sites
from fedgen.evidence.limits import translation_limits
from fedgen.evidence.measure import Real
from fedgen.evidence.registry import translation_measures
from fedgen.evidence.translating import Translating
from fedgen.evidence.verdict import Undecided, decide
from fedgen.run.evidence_files import Evaluated
from fedgen.run.row import Row
from fedgen.study.study import Study


def assess_translation(
    study: Study,
    sites: Sequence[SiteData],
    how: Translating,
    progress: Callable[[str], None] | None = None,
) -> Evaluated:
    """Everything that is measured of a translation.

    Args:
        study: its section `evaluation` and its seed.
        sites: all parts of every site; train and test part are read.
        how: the trained model.
        progress: told the title of each row.

    Raises:
        DataError: no site, or data that do not fit the study.
    """
    check_sites(study, sites)

    def found() -> Iterator[Row | Undecided]:
        real = Real(sites, how.mask_classes)
        for kind in translation_measures():
            for row in kind(study.evaluation).measure(real, how, study.study.seed):
                if progress is not None:
                    progress((row.row if isinstance(row, Undecided) else row).title)
                yield row

    def count(part: Part) -> tuple[int, int]:
        own = [site.part(part) for site in sites]
        return sum(each.n_images for each in own), sum(each.n_patients for each in own)

    (train_images, train_patients), (test_images, test_patients) = count(Part.TRAIN), count(Part.TEST)
    return Evaluated(
        n={
            "train_images": train_images,
            "train_patients": train_patients,
            "test_images": test_images,
            "test_patients": test_patients,
        },
        rows=decide(found(), study.audit.alpha),
        limits=translation_limits(test_patients, len(sites)),
        seed=study.study.seed,
    )
