"""From a checkpoint to step graphs, ONNX and TensorRT, gated by parity. Needs torch, except the TensorRT builder."""
