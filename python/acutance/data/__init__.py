"""Data sets for training, made of a hospital's or a researcher's own files: ``acutance data build``.

:mod:`.sources` finds series and leaves out what is no truth, :mod:`.subjects` tells whose they are and which split each
person is in, :mod:`.profile` takes identity out of headers, :mod:`.pixels` prepares slices, :mod:`.build` writes them.
"""
