"""Pictures that are no DICOM (NIfTI, PNG, TIFF, JPEG), and how any file is written whole or not at all."""
