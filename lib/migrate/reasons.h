// What tables of keys of several programs say of a key that has no counterpart.
#pragma once

namespace temper {

inline constexpr char kRanks[] = "one process needs none of it; several are started with torchrun";
inline constexpr char kReading[] = "records are read and encoded by the run itself";
inline constexpr char kTold[] = "each step is a line of metrics.jsonl, in TensorBoard and in report.html";
inline constexpr char kTracker[] = "of a tracker; metrics go to metrics.jsonl, TensorBoard and report.html";
inline constexpr char kHub[] = "nothing is uploaded here; `hf upload` sends the run's final/";
inline constexpr char kKernels[] = "a way of computing, which changes no result and has no counterpart";
inline constexpr char kPacked[] = "nothing is padded here, packed or not";
inline constexpr char kLoading[] = "how a model is loaded; here it is read from its folder";
inline constexpr char kBatch[] = "train.batch_size (of one process: N of them learnt from N times as many)";
inline constexpr char kMethod[] = "this method is not here";

}  // namespace temper
