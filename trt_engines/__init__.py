"""ONNX models into TensorRT engines, and the store that keeps them.

``flavour`` finds TensorRT or TensorRT-RTX, ``device`` names a GPU, ``options`` says how an engine is built, ``build``
builds it and ``store`` keeps it and refuses what is not its user's own. Nothing here needs TensorRT to be imported.
"""
