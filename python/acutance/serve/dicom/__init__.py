"""A DICOM node: takes instances, enhances them, and sends both on to where the rules say."""
