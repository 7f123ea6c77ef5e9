#include "data/large/record_source.h"

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/version.h"
#include "data/columns/columns.h"
#include "data/large/in_order.h"
#include "data/source/json_text.h"
#include "data/source/read.h"

namespace temper {
namespace {

constexpr uint64_t kPiece = 4 << 20;  // bytes of a file that a thread looks at
constexpr uint64_t kBegin = 64 << 10;

// Where a line stands.
struct Line {
  uint64_t begin = 0;
  uint32_t bytes = 0;
  int64_t number = 0;  // from 1 in the file; in a piece from 0
};

// Lines of a JSONL file, read piece by piece.
class Lines {
 public:
  explicit Lines(const SteadyFile& file)
      : file_(file),
        begin_(file.read(0, kByteOrderMark.size()) == kByteOrderMark ? kByteOrderMark.size() : 0) {}

  size_t pieces() const { return static_cast<size_t>((file_.size() + kPiece - 1) / kPiece); }

  // Calls with each line that begins in the piece and its text, blank ones too, until `take` says false;
  // returns how many there were.
  template <class Take>
  int64_t each(size_t piece, const Take& take) const {
    const uint64_t first = piece * kPiece, last = std::min(first + kPiece, file_.size());
    uint64_t at = std::max(first, begin_);
    // The byte before tells whether a line begins here.
    uint64_t held_at = at > begin_ ? at - 1 : at;
    std::string held = file_.read(held_at, last - held_at);
    if (at > begin_) {
      const size_t end = held.find('\n');
      if (end == std::string::npos) return 0;
      at = held_at + end + 1;
    }
    int64_t number = 0;
    while (at < last) {
      size_t end = held.find('\n', at - held_at);
      while (end == std::string::npos && held_at + held.size() < file_.size()) {  // it ends in a later piece
        const size_t searched = held.size();
        held += file_.read(held_at + searched, kPiece);
        end = held.find('\n', searched);
      }
      if (end == std::string::npos) end = held.size();
      const std::string_view text = std::string_view(held).substr(at - held_at, end - (at - held_at));
      if (text.size() > UINT32_MAX) user_error("{}: a line of {} bytes", file_.path(), text.size());
      if (!take(Line{at, static_cast<uint32_t>(text.size()), number}, text)) return number + 1;
      ++number;
      at = held_at + end + 1;
    }
    return number;
  }

 private:
  const SteadyFile& file_;
  uint64_t begin_;
};

// The first record of a file as it stands there.
Record first_record(const Lines& lines, const std::string& file) {
  std::optional<Record> out;
  int64_t before = 0;
  for (size_t piece = 0; piece < lines.pieces() && !out; ++piece) {
    before += lines.each(piece, [&](const Line& line, std::string_view text) {
      if (!blank_line(text)) out = jsonl_record(text, file, before + line.number + 1, true);
      return !out;
    });
  }
  if (!out) user_error("{}: no records in this file", file);
  return *std::move(out);
}

// What a look at a piece of a file found.
struct Found {
  std::vector<Line> records;  // in the piece's numbers
  int64_t lines = 0;
  size_t left_out = 0;
  std::vector<bool> columns;  // of some_have(): whether a record has it
  std::optional<Line> bad;    // where it ended early
  std::string text;           // ... and what stands there
};

// A JSONL file that is read where it is.
class JsonlSource : public RecordSource {
 public:
  JsonlSource(const std::string& path, const RecordFormat& format, const DataCache& cache,
              const std::string& key)
      : file_(path), key_(key), lines_(file_), format_(first_record(lines_, path), format) {
    const auto index = cache.made("index", key, "the index of " + path,
                                  [&](BlobWriter& out) { return look(format, cache, out); });
    for (size_t i = 0; i < index->size(); ++i) take_in(index->blob(i));
    tell_format(path, {&format_.format(), format_.why(), index->note().at("left_out").get<size_t>()});
  }

  size_t size() const override { return begins_.size(); }
  void check() const override { file_.check(); }
  const std::string& file() const override { return file_.path(); }
  const std::string& key() const override { return key_; }
  Record at(size_t i) const override {
    const auto run = std::upper_bound(runs_.begin(), runs_.end(), i,
                                      [](size_t at, const Run& run) { return at < run.first; }) -
                     1;
    const int64_t line = run->line + static_cast<int64_t>(i - run->first);
    Record out = jsonl_record(file_.read(begins_.at(i), bytes_.at(i)), file_.path(), line, false);
    std::optional<Json> made = format_.read(out);
    if (!made) bug("{}: a record of the index is left out", out.where());
    out.json = *std::move(made);
    return out;
  }

 private:
  Found look_at(size_t piece, const RecordFormat& format) const {
    Found out;
    const auto some = some_have(format);
    out.columns.resize(some.size());
    out.lines = lines_.each(piece, [&](const Line& line, std::string_view text) {
      if (blank_line(text)) return true;
      try {
        const Record record = jsonl_record(text, file_.path(), line.number + 1, false);
        for (size_t c = 0; c < some.size(); ++c)
          out.columns[c] = out.columns[c] || record.json.contains(some[c].second);
        if (format_.read(record))
          out.records.push_back(line);
        else
          ++out.left_out;
        return true;
      } catch (const UserError&) {
        out.bad = line;
        out.text = text;
        return false;
      }
    });
    return out;
  }

  // The same error again, now that the lines before it are known.
  [[noreturn]] void complain(const Found& found, int64_t lines_before) const {
    const Record record = jsonl_record(found.text, file_.path(), lines_before + found.bad->number + 1, false);
    format_.read(record);
    bug("{}: is wrong in a piece and right in the file", record.where());
  }

  // All records are read and checked.
  Json look(const RecordFormat& format, const DataCache& cache, BlobWriter& out) const {
    int64_t lines = 0;
    size_t records = 0, left_out = 0, done = 0;
    const auto some = some_have(format);
    std::vector<bool> columns(some.size());
    in_order(
        cache.threads(), lines_.pieces(), [&](size_t piece) { return look_at(piece, format); },
        [&](Found found) {
          if (found.bad) complain(found, lines);
          std::string blob;
          put_number(blob, found.records.size());
          uint64_t end = 0;
          int64_t number = 0;
          for (const Line& line : found.records) {
            put_number(blob, line.begin - end);
            put_number(blob, line.bytes);
            put_number(blob, static_cast<uint64_t>(lines + line.number + 1 - number));
            end = line.begin + line.bytes;
            number = lines + line.number + 1;
          }
          out.add(blob);
          lines += found.lines;
          records += found.records.size();
          left_out += found.left_out;
          for (size_t c = 0; c < some.size(); ++c) columns[c] = columns[c] || found.columns[c];
          cache.tell("reading " + file_.path(),
                     static_cast<double>(++done) / static_cast<double>(lines_.pieces()));
        });
    for (size_t c = 0; c < some.size(); ++c)
      if (!columns[c]) no_record_has(first_record(lines_, file_.path()), some[c]);
    if (records == 0) nothing_to_learn(file_.path(), {&format_.format(), format_.why(), left_out});
    return {{"records", records}, {"left_out", left_out}};
  }

  void take_in(const std::string& blob) {
    size_t at = 0;
    uint64_t end = 0;
    int64_t line = 0;
    for (uint64_t left = take_number(blob, at); left > 0; --left) {
      const uint64_t begin = end + take_number(blob, at), bytes = take_number(blob, at);
      line += static_cast<int64_t>(take_number(blob, at));
      end = begin + bytes;
      const size_t i = begins_.size();
      if (runs_.empty() || runs_.back().line + static_cast<int64_t>(i - runs_.back().first) != line)
        runs_.push_back({i, line});
      begins_.push_back(begin);
      bytes_.push_back(static_cast<uint32_t>(bytes));
    }
  }

  // Records from `first` on stand on the lines from `line` on.
  struct Run {
    size_t first = 0;
    int64_t line = 0;
  };
  SteadyFile file_;
  std::string key_;
  Lines lines_;
  FileFormat format_;
  std::vector<uint64_t> begins_;
  std::vector<uint32_t> bytes_;
  std::vector<Run> runs_;
};

// A file that can only be read from its beginning to its end: its records, converted, lie in the cache.
class CopiedSource : public RecordSource {
 public:
  CopiedSource(const std::string& path, const RecordFormat& format, const DataCache& cache,
               const std::string& key)
      : path_(path), key_(key) {
    rows_ = cache.made("rows", key, "the records of " + path,
                       [&](BlobWriter& out) { return copy(path, format, cache, out); });
    const Json& note = rows_->note();
    const std::string name = note.at("format").get<std::string>();
    const auto known = std::find_if(data_formats().begin(), data_formats().end(),
                                    [&](const DataFormat& f) { return f.name == name; });
    if (known != data_formats().end())
      tell_format(path, {&*known, note.at("why").get<std::string>(), note.at("left_out").get<size_t>()});
  }

  size_t size() const override { return rows_->size(); }
  void check() const override {}  // it is not read again
  const std::string& file() const override { return path_; }
  const std::string& key() const override { return key_; }
  Record at(size_t i) const override {
    const std::string blob = rows_->blob(i);
    size_t at = 0;
    const auto line = static_cast<int64_t>(take_number(blob, at));
    return {Json::from_cbor(blob.begin() + static_cast<std::ptrdiff_t>(at), blob.end()), path_, line};
  }

 private:
  static Json copy(const std::string& path, const RecordFormat& format, const DataCache& cache,
                   BlobWriter& out) {
    std::optional<Record> first;
    std::unique_ptr<FileFormat> how;
    const auto some = some_have(format);
    std::vector<bool> columns(some.size());
    size_t records = 0, left_out = 0;
    each_record(
        path,
        [&](Record record) {
          if (how == nullptr) {
            first = record;
            how = std::make_unique<FileFormat>(record, format);
          }
          for (size_t c = 0; c < some.size(); ++c)
            columns[c] = columns[c] || record.json.contains(some[c].second);
          const std::optional<Json> made = how->read(record);
          if (!made) {
            ++left_out;
            return;
          }
          std::string blob;
          put_number(blob, static_cast<uint64_t>(record.line));
          const auto bytes = Json::to_cbor(*made);
          blob.append(bytes.begin(), bytes.end());
          out.add(blob);
          if (++records % 1000 == 0) cache.tell(fmt::format("reading {}, {} records", path, records), 0);
        },
        cache.folder());
    for (size_t c = 0; c < some.size(); ++c)
      if (!columns[c]) no_record_has(*first, some[c]);
    if (records == 0) nothing_to_learn(path, {&how->format(), how->why(), left_out});
    return {{"format", how->format().name}, {"why", how->why()}, {"left_out", left_out}};
  }

  std::string path_, key_;
  std::shared_ptr<const BlobFile> rows_;
};

}  // namespace

uint64_t data_bytes(const std::vector<std::string>& paths) {
  uint64_t out = 0;
  std::error_code error;
  for (const std::string& path : paths) {
    if (!fs::is_directory(path, error)) {
      const std::string end = fs::path(path).extension().string();
      const auto bytes = fs::file_size(path, error);
      const bool packed = end == ".gz" || end == ".zst" || end == ".parquet" || end == ".arrow";
      if (!error) out += packed ? 4 * bytes : bytes;
      continue;
    }
    for (const auto& entry : fs::directory_iterator(path, error)) {
      const auto bytes = entry.file_size(error);
      if (!error) out += 4 * bytes;
    }
  }
  return out;
}

std::vector<std::shared_ptr<const RecordSource>> open_source(const std::string& path,
                                                             const RecordFormat& format,
                                                             const DataCache& cache) {
  std::vector<std::shared_ptr<const RecordSource>> out;
  std::error_code none;
  for (const std::string& file : fs::is_directory(path, none) ? saved_files(path) : std::vector{path}) {
    const FileStamp stamp = stamp_of(file);
    const std::string key =
        Fingerprint().add(cache.fingerprint(file)).add(format_key(file, format)).add(version()).hex();
    if (is_plain_jsonl(SteadyFile(file).read(0, kBegin), file))
      out.push_back(std::make_shared<JsonlSource>(file, format, cache, key));
    else
      out.push_back(std::make_shared<CopiedSource>(file, format, cache, key));
    if (stamp_of(file) != stamp)
      user_error("{}: the file changed while it was read; start again when it is whole", file);
  }
  return out;
}

}  // namespace temper
