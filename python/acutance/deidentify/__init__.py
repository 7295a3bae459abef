"""DICOM files without what tells whose they are: ``acutance deidentify``, and what data sets take of it.

The profile (PS3.15 Annex E) is :mod:`.profile`, its use on a header :mod:`.attributes`, text in pixels
:mod:`.burned_in`, the key of pseudonyms :mod:`.key`. Needs the extra ``data``.
"""
