"""Feature extractors that need no download: importing this package registers them all."""

from fedgen.evaluation.extractors.radiomics import RadiomicsExtractor
from fedgen.evaluation.extractors.random_conv import RandomConvExtractor
from fedgen.evaluation.extractors.registry import Extractor, build_extractor, extractor_names

__all__ = ["Extractor", "RadiomicsExtractor", "RandomConvExtractor", "build_extractor", "extractor_names"]
