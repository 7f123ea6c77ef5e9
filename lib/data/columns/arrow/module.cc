// libtemper_columns.so: Parquet and Arrow by Arrow's own library. columns.h says what it gives.
#include <arrow/api.h>
#include <arrow/io/memory.h>
#include <arrow/ipc/reader.h>
#include <parquet/arrow/reader.h>
#include <parquet/exception.h>

#include <cmath>

#include "base/error.h"
#include "data/columns/columns.h"

namespace temper {
namespace {

constexpr int64_t kRows = 1024;  // that are decoded at a time

// Values of one file, as many as its bound allows.
class Values {
 public:
  Values(const std::string& where, uint64_t most_bytes) : where_(where), most_(most_bytes) {}

  Json at(const arrow::Array& array, int64_t i, const std::string& column) {
    count(sizeof(Json));
    if (array.IsNull(i)) return nullptr;
    switch (array.type_id()) {
      case arrow::Type::NA:
        return nullptr;
      case arrow::Type::BOOL:
        return static_cast<const arrow::BooleanArray&>(array).Value(i);
      case arrow::Type::INT8:
        return number<arrow::Int8Array>(array, i);
      case arrow::Type::INT16:
        return number<arrow::Int16Array>(array, i);
      case arrow::Type::INT32:
        return number<arrow::Int32Array>(array, i);
      case arrow::Type::INT64:
        return number<arrow::Int64Array>(array, i);
      case arrow::Type::UINT8:
        return number<arrow::UInt8Array>(array, i);
      case arrow::Type::UINT16:
        return number<arrow::UInt16Array>(array, i);
      case arrow::Type::UINT32:
        return number<arrow::UInt32Array>(array, i);
      case arrow::Type::UINT64:
        return number<arrow::UInt64Array>(array, i);
      case arrow::Type::FLOAT:
        return real<arrow::FloatArray>(array, i);
      case arrow::Type::DOUBLE:
        return real<arrow::DoubleArray>(array, i);
      case arrow::Type::STRING:
        return text<arrow::StringArray>(array, i);
      case arrow::Type::LARGE_STRING:
        return text<arrow::LargeStringArray>(array, i);
      case arrow::Type::STRING_VIEW:
        return text<arrow::StringViewArray>(array, i);
      case arrow::Type::LIST:
        return list<arrow::ListArray>(array, i, column);
      case arrow::Type::LARGE_LIST:
        return list<arrow::LargeListArray>(array, i, column);
      case arrow::Type::FIXED_SIZE_LIST:
        return list<arrow::FixedSizeListArray>(array, i, column);
      case arrow::Type::STRUCT:
        return object(static_cast<const arrow::StructArray&>(array), i, column);
      case arrow::Type::DICTIONARY: {
        const auto& of = static_cast<const arrow::DictionaryArray&>(array);
        return at(*of.dictionary(), of.GetValueIndex(i), column);
      }
      case arrow::Type::DATE32:
      case arrow::Type::DATE64:
      case arrow::Type::TIME32:
      case arrow::Type::TIME64:
      case arrow::Type::TIMESTAMP:
      case arrow::Type::DECIMAL128:
      case arrow::Type::DECIMAL256: {
        const auto scalar = array.GetScalar(i);
        if (!scalar.ok()) damaged(scalar.status());
        return (*scalar)->ToString();
      }
      default:
        user_error("{}: the column \"{}\" is of the type {}, which no record holds", where_, column,
                   array.type()->ToString());
    }
  }

  [[noreturn]] void damaged(const arrow::Status& status) const {
    std::string why = status.message();
    for (char& c : why) {
      if (static_cast<unsigned char>(c) < ' ') c = ' ';
    }
    user_error("{}: cut short or damaged: {}", where_, why.substr(0, 200));
  }

 private:
  template <class Array>
  static Json number(const arrow::Array& array, int64_t i) {
    return static_cast<const Array&>(array).Value(i);
  }
  template <class Array>
  static Json real(const arrow::Array& array, int64_t i) {
    const auto x = static_cast<const Array&>(array).Value(i);
    return std::isfinite(x) ? Json(x) : Json();
  }

  template <class Array>
  Json text(const arrow::Array& array, int64_t i) {
    const std::string_view text = static_cast<const Array&>(array).GetView(i);
    count(text.size());
    return std::string(text);
  }

  template <class List>
  Json list(const arrow::Array& array, int64_t i, const std::string& column) {
    const auto& of = static_cast<const List&>(array);
    Json out = Json::array();
    for (int64_t k = of.value_offset(i); k < of.value_offset(i) + of.value_length(i); ++k)
      out.push_back(at(*of.values(), k, column));
    return out;
  }

  Json object(const arrow::StructArray& array, int64_t i, const std::string& column) {
    Json out = Json::object();
    for (int f = 0; f < array.num_fields(); ++f) {
      const std::string& name = array.struct_type()->field(f)->name();
      Json value = at(*array.field(f), i, column);
      if (!value.is_null()) out[name] = std::move(value);
    }
    return out;
  }

  void count(uint64_t bytes) {
    used_ += bytes;
    if (used_ > most_)
      user_error("{}: holds more than {} MiB of values, the most that is read of a file of its size", where_,
                 most_ >> 20);
  }

  const std::string& where_;
  uint64_t most_, used_ = 0;
};

// The batches of an Arrow file one after the other.
class FileBatches : public arrow::RecordBatchReader {
 public:
  explicit FileBatches(std::shared_ptr<arrow::ipc::RecordBatchFileReader> file) : file_(std::move(file)) {}
  std::shared_ptr<arrow::Schema> schema() const override { return file_->schema(); }
  arrow::Status ReadNext(std::shared_ptr<arrow::RecordBatch>* batch) override {
    if (next_ == file_->num_record_batches()) {
      *batch = nullptr;
      return arrow::Status::OK();
    }
    return file_->ReadRecordBatch(next_++).Value(batch);
  }

 private:
  std::shared_ptr<arrow::ipc::RecordBatchFileReader> file_;
  int next_ = 0;
};

void read_batches(arrow::RecordBatchReader& reader, Values& values, const std::function<void(Json)>& row) {
  while (true) {
    std::shared_ptr<arrow::RecordBatch> batch;
    const arrow::Status status = reader.ReadNext(&batch);
    if (!status.ok()) values.damaged(status);
    if (batch == nullptr) return;
    // Offsets and lengths are the file's own words; texts are checked to be UTF-8.
    const arrow::Status valid = batch->ValidateFull();
    if (!valid.ok()) values.damaged(valid);
    for (int64_t i = 0; i < batch->num_rows(); ++i) {
      Json record = Json::object();
      for (int c = 0; c < batch->num_columns(); ++c)
        record[batch->column_name(c)] = values.at(*batch->column(c), i, batch->column_name(c));
      row(std::move(record));
    }
  }
}

template <class T>
T whole(arrow::Result<T> result, const Values& values) {
  if (!result.ok()) values.damaged(result.status());
  return *std::move(result);
}

}  // namespace
}  // namespace temper

extern "C" void temper_read_columns(std::string_view bytes, const std::string& where, uint64_t most_bytes,
                                    const std::function<void(temper::Json)>& row) {
  using namespace temper;
  Values values(where, most_bytes);
  const auto buffer = std::make_shared<arrow::Buffer>(reinterpret_cast<const uint8_t*>(bytes.data()),
                                                      static_cast<int64_t>(bytes.size()));
  const auto input = std::make_shared<arrow::io::BufferReader>(buffer);
  auto options = arrow::ipc::IpcReadOptions::Defaults();
  options.use_threads = false;
  try {
    if (bytes.starts_with("PAR1")) {
      parquet::arrow::FileReaderBuilder builder;
      const arrow::Status opened = builder.Open(input);
      if (!opened.ok()) values.damaged(opened);
      parquet::ArrowReaderProperties properties;
      properties.set_batch_size(kRows);
      properties.set_pre_buffer(false);  // no threads for what is in memory
      const auto reader = whole(builder.properties(properties)->Build(), values);
      read_batches(*whole(reader->GetRecordBatchReader(), values), values, row);
    } else if (bytes.starts_with("ARROW1")) {
      FileBatches batches(whole(arrow::ipc::RecordBatchFileReader::Open(input, options), values));
      read_batches(batches, values, row);
    } else {
      read_batches(*whole(arrow::ipc::RecordBatchStreamReader::Open(input, options), values), values, row);
    }
  } catch (const parquet::ParquetException& e) {
    values.damaged(arrow::Status::IOError(e.what()));
  }
}
