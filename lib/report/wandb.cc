#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <map>

#include "base/error.h"
#include "base/file.h"
#include "base/output.h"
#include "report/trackers.h"
#include "run/protobuf.h"

namespace temper {
namespace {

// LevelDB's log format as wandb has it: crc32 in the place of its masked crc32c, behind a header of 7 bytes.
class RecordLog {
 public:
  RecordLog() {
    ProtoMessage header;
    header.bytes = ":W&B";
    header.raw<uint16_t>(0xBEE1);
    header.raw<uint8_t>(0);
    bytes_ = header.bytes;
  }

  void append(std::string_view record) {
    bool first = true;
    do {
      size_t left = kBlock - bytes_.size() % kBlock;
      if (left < kHeader) {
        bytes_.append(left, '\0');
        left = kBlock;
      }
      const size_t size = std::min(record.size(), left - kHeader);
      const bool last = size == record.size();
      piece(first ? (last ? kFull : kFirst) : (last ? kLast : kMiddle), record.substr(0, size));
      record.remove_prefix(size);
      first = false;
      if (last) return;
    } while (true);
  }
  std::string take() { return std::move(bytes_); }

 private:
  enum Kind : uint8_t { kFull = 1, kFirst, kMiddle, kLast };
  static constexpr size_t kBlock = 32768, kHeader = 7;

  void piece(Kind kind, std::string_view data) {
    const Bytef type = kind;
    uLong crc = ::crc32(0, &type, 1);
    crc = ::crc32(crc, reinterpret_cast<const Bytef*>(data.data()), static_cast<uInt>(data.size()));
    ProtoMessage header;
    header.raw<uint32_t>(static_cast<uint32_t>(crc));
    header.raw<uint16_t>(static_cast<uint16_t>(data.size()));
    header.raw<uint8_t>(kind);
    bytes_ += header.bytes;
    bytes_ += data;
  }

  std::string bytes_;
};

// wandb_internal.Record: num = 1, history = 2, summary = 3, run = 17, exit = 18, header = 21.
class Records {
 public:
  void add(int field, const ProtoMessage& message) {
    ProtoMessage record;
    record.integer(1, ++count_);
    record.message(field, message);
    log_.append(record.bytes);
  }
  std::string take() { return log_.take(); }

 private:
  uint64_t count_ = 0;
  RecordLog log_;
};

// ConfigItem has its name under key = 1; HistoryItem and SummaryItem under nested_key = 2, which may hold
// slashes; value_json = 16.
ProtoMessage item(int name_field, const std::string& name, const std::string& value) {
  ProtoMessage out;
  out.text(name_field, name);
  out.text(16, value);
  return out;
}

ProtoMessage run_record(const TrackedRun& run, const std::string& project) {
  ProtoMessage config;
  for (const auto& [key, value] : run.config.items()) config.message(1, item(1, key, dump_line(value)));
  ProtoMessage start;  // google.protobuf.Timestamp
  start.integer(1, static_cast<uint64_t>(run.started));
  ProtoMessage out;
  out.text(1, run.id);
  out.text(3, project);
  out.message(4, config);
  out.text(8, run.name);
  out.message(17, start);
  return out;
}

}  // namespace

std::string wandb_file(const TrackedRun& run, const std::string& project) {
  Records records;
  ProtoMessage version, header;  // VersionInfo: producer = 1, min_consumer = 2
  version.text(1, "0.31.0");
  version.text(2, "0.70.0");
  header.message(1, version);
  records.add(21, header);
  records.add(17, run_record(run, project));

  // All rows of a step, in the order of the file.
  std::map<int64_t, std::map<std::string, double>> steps;
  std::map<int64_t, double> seconds;  // of the run, at the end of the step
  double passed = 0;
  for (const MetricsRow& row : run.rows) {
    passed += row.split == "train" ? row.find("seconds").value_or(0) : 0;
    for (const auto& [name, value] : tracked_values(row)) steps[row.step][name] = value;
    seconds[row.step] = passed;
  }
  for (auto& [step, values] : steps) {
    values["_step"] = static_cast<double>(step);
    values["_runtime"] = seconds[step];
    values["_timestamp"] = run.started + seconds[step];
    ProtoMessage history, summary, number;
    for (const auto& [name, value] : values) {
      const std::string text = Json(value).dump();
      history.message(1, item(2, name, name == "_step" ? std::to_string(step) : text));
      summary.message(1, item(2, name, name == "_step" ? std::to_string(step) : text));
    }
    number.integer(1, static_cast<uint64_t>(step));
    history.message(2, number);
    records.add(2, history);
    records.add(3, summary);
  }
  ProtoMessage exit;  // RunExitRecord: exit_code = 1, runtime = 2, not_complete = 3
  exit.integer(2, static_cast<uint64_t>(passed));
  if (!run.done) exit.integer(3, 1);
  records.add(18, exit);
  return records.take();
}

std::string write_wandb_run(const TrackedRun& run, const std::string& project, const std::string& to) {
  const auto started = static_cast<std::time_t>(run.started);
  std::tm parts{};
  ::gmtime_r(&started, &parts);
  char date[32];
  std::strftime(date, sizeof date, "%Y%m%d_%H%M%S", &parts);
  const std::string folder = fmt::format("{}/offline-run-{}-{}", to, date, run.id);
  if (fs::exists(folder)) user_error("{}: is there already; nothing is overwritten", folder);
  std::error_code error;
  fs::create_directories(to, error);
  if (error) user_error("{}: cannot create the folder: {}", to, error.message());
  TemporaryFolder made(folder);
  fs::create_directory(made.path() + "/files");
  write_file_atomic(fmt::format("{}/run-{}.wandb", made.path(), run.id), wandb_file(run, project));
  made.commit();
  return folder;
}

}  // namespace temper
