"""Feature extractors that need no download: importing this package registers them all."""

from fedgen.evidence.metrics.extractors.radiomics import RadiomicsExtractor
from fedgen.evidence.metrics.extractors.random_conv import RandomConvExtractor
from fedgen.evidence.metrics.extractors.registry import Extractor, build_extractor, extractor_names

__all__ = ["Extractor", "RadiomicsExtractor", "RandomConvExtractor", "build_extractor", "extractor_names"]
