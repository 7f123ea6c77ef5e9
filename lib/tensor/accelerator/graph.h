// Work of an accelerator recorded once and started again with one call. A step of decoding is a thousand
// small kernels, and starting one costs the host more than running it costs the device.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/Stream.h>

#include <functional>
#include <memory>
#include <stdexcept>

namespace temper {

// Work that cannot be recorded: it waits for the device, or copies to it, somewhere inside.
class CannotRecord : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class DeviceGraph {
 public:
  virtual ~DeviceGraph() = default;
  // Everything again, with what its input tensors hold by now. Queued behind what was queued before.
  virtual void replay() = 0;
  // False once the allocator has had to give up memory that the recorded work may use: record it anew.
  virtual bool valid() const = 0;
};

// Records on a stream of its own, whose memory no other work takes. On a device without graphs (the tests')
// what was recorded is run again instead.
class GraphRecorder {
 public:
  explicit GraphRecorder(c10::Device device);
  // Runs `work` twice, the second time recorded and so without results. It must read and write tensors that
  // stay where they are, never wait for the device, and decide nothing by what the device holds. Throws what
  // `work` throws when it is only run, and CannotRecord where it cannot be recorded.
  std::unique_ptr<DeviceGraph> record(std::function<void()> work) const;

 private:
  c10::Stream stream_;
};

}  // namespace temper
