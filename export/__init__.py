"""Export a checkpoint to step graphs, ONNX and TensorRT, checked by parity. All but the plan builder needs torch."""
