"""DICOM: tags, planes, stacks, values, kinds and codecs, and the decoder that they make; pydicom's details end here."""

from fedgen.data.decoders.dicom.reader import DECODER, DicomDecoder

__all__ = ["DECODER", "DicomDecoder"]
