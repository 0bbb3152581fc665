"""The layers of a plan, as two generations of TensorRT write them into their log."""

from export.engine_layers import Layer, holding, layers_in, precision_of

OF_10 = """Layers:
Name: weight + q_w + conv, LayerType: CaskConvolution, Inputs: [ { Name: q_x, Location: Device, \
Dimensions: [1,32,90,160], Format/Datatype: Thirty-two wide channel vectorized row major Int8 format }, \
{ Name: skip, Location: Device, Dimensions: [1,32,90,160], Format/Datatype: Half }], Outputs: [ { Name: \
y, Location: Device, Dimensions: [1,32,90,160], Format/Datatype: Row major linear FP16 format }], \
ParameterType: Convolution, Kernel: [3,3], HasReLU: 0, TacticName: sm80, StreamId: 0, \
Metadata: [ONNX Layer: conv]\x1e[ONNX Layer: add]
Name: copy, LayerType: Reformat, Inputs: [ { Name: frame, Location: Device, Dimensions: [360,640,3], \
Format/Datatype: Row major linear UINT8 format }], Outputs: [ { Name: z, Location: Device, Dimensions: \
[360,640,3], Format/Datatype: Row major linear FP32 }], ParameterType: Reformat, Metadata: 
"""  # noqa: W291
OF_11 = (
    "Name: conv_0, LayerType: correlation, Inputs: [ { Name: a, Dimensions: [1,32,36,64], Strides: "
    "[73728,1,2048,32], StrideOrder: [3,0,2,1], Datatype: Half, Format: (NHWC) Channel major format }], "
    "Constants: [ { Name: c, Dimensions: [1], Strides: [1], StrideOrder: [0], Datatype: Float, Format: "
    "(Linear) Row major linear format }], Outputs: [ { Name: b, Dimensions: [1,32,36,64], Strides: "
    "[73728,1,2048,32], StrideOrder: [3,0,2,1], Datatype: Half, Format: (NHWC) Channel major format }], "
    "TacticName: __myelin, StreamId: 0, Metadata: [ONNX Layer: conv][ONNX Layer: relu]\n"
)


def test_both_are_read() -> None:
    convolution, copy = layers_in(OF_10)
    assert convolution == Layer(
        name="weight + q_w + conv",
        kind="CaskConvolution",
        inputs=("int8", "fp16"),
        outputs=("fp16",),
        nodes=("conv", "add"),
    )
    assert copy.inputs == ()
    assert copy.outputs == ("fp32",)
    assert layers_in(OF_11) == (
        Layer("conv_0", "correlation", inputs=("fp16",), outputs=("fp16",), nodes=("conv", "relu")),
    )


def test_a_convolution_computes_in_the_lowest_precision_that_it_reads() -> None:
    layers = layers_in(OF_10)
    assert precision_of(layers, "conv") == "int8"
    assert holding(layers, "add") == (layers[0],)
    assert precision_of(layers, "not listed") is None
    assert layers_in("[V] some other line") == ()
