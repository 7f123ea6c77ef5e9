"""TensorBoard events, by TensorBoard's own code (pip install tensorboard==2.21.0, no TensorFlow).

  tensorboard_events.py golden tests/run/golden/events.bin   the records that tests/run/tensorboard_test.cc expects
  tensorboard_events.py read FILE_OR_RUN_FOLDER                what TensorBoard's reader sees, as JSON
"""
import json
import sys

from tensorboard.backend.event_processing import event_accumulator
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2
from tensorboard.summary.writer.record_writer import RecordWriter


def text_value(tag, text):
    shape = tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=1)])
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, tensor_shape=shape, string_val=[text.encode()])
    plugin = summary_pb2.SummaryMetadata.PluginData(plugin_name="text")
    metadata = summary_pb2.SummaryMetadata(plugin_data=plugin)
    return summary_pb2.Summary.Value(tag=tag, tensor=tensor, metadata=metadata)


def golden(path):
    scalar = summary_pb2.Summary.Value
    events = [
        event_pb2.Event(wall_time=1700000000.25, step=1, summary=summary_pb2.Summary(value=[
            scalar(tag="train/loss", simple_value=0.1), scalar(tag="train/kl", simple_value=float("nan"))])),
        event_pb2.Event(wall_time=1700000001.5, step=300, summary=summary_pb2.Summary(value=[
            scalar(tag="eval/accuracy", simple_value=-1e30)])),
        event_pb2.Event(wall_time=1700000002.75, step=2**40, summary=summary_pb2.Summary(value=[
            text_value("config", "schöne | *text*\n" * 20)])),
    ]
    with open(path, "wb") as file:
        writer = RecordWriter(file)
        for event in events:
            writer.write(event.SerializeToString(deterministic=True))


def read(path):
    events = event_accumulator.EventAccumulator(path, size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    tags = events.Tags()
    texts = {tag: [(e.step, [s.decode() for s in e.tensor_proto.string_val]) for e in events.Tensors(tag)]
             for tag in events.PluginTagToContent("text")} if "tensors" in tags and tags["tensors"] else {}
    scalars = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags["scalars"]}
    print(json.dumps({"file_version": events.file_version, "scalars": scalars, "texts": texts}))


if __name__ == "__main__":
    {"golden": golden, "read": read}[sys.argv[1]](sys.argv[2])
