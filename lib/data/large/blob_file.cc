#include "data/large/blob_file.h"

#include <zlib.h>

#include <cstring>

#include "base/error.h"
#include "base/hash.h"

namespace temper {
namespace {

constexpr char kMagic[] = "TMPRDATA";
constexpr uint64_t kCheck = sizeof(uint32_t), kHex = 32;
constexpr uint64_t kFooter = 8 + 3 * sizeof(uint64_t) + 2 * kHex;
constexpr size_t kWaiting = 1 << 20;  // bytes that are written at once

uint32_t check_of(std::string_view blob) {
  return static_cast<uint32_t>(::crc32_z(0, reinterpret_cast<const Bytef*>(blob.data()), blob.size()));
}

void put(std::string& out, uint64_t number) {
  out.append(reinterpret_cast<const char*>(&number), sizeof(number));
}

std::string footer(const std::string& key, const std::vector<uint64_t>& table, const std::string& note) {
  std::string out(kMagic, 8);
  put(out, kDataCacheVersion);
  put(out, table.size() - 1);
  put(out, note.size());
  out += key;
  Fingerprint all;
  all.add(out).add(table.data(), table.size() * sizeof(uint64_t)).add(note);
  return out + all.hex();
}

template <class Do>
void problems_of(const Do& act) {
  try {
    act();
  } catch (const UserError& e) {
    throw CacheProblem(e.what());
  }
}

}  // namespace

BlobFile::BlobFile(const std::string& path, const std::string& key) {
  problems_of([&] {
    file_ = std::make_unique<SteadyFile>(path);
    const uint64_t size = file_->size();
    const auto damaged = [&](const char* why) { throw CacheProblem(fmt::format("{}: {}", path, why)); };
    if (size < kFooter + sizeof(uint64_t)) damaged("is cut short");
    const std::string end = file_->read(size - kFooter, kFooter);
    uint64_t numbers[3];  // version, blobs, bytes of the note
    std::memcpy(numbers, end.data() + 8, sizeof(numbers));
    if (end.compare(0, 8, kMagic, 8) != 0) damaged("is cut short, or no file of the data cache");
    if (numbers[0] != kDataCacheVersion) damaged("is of another version of Temper");
    if (numbers[1] >= size / sizeof(uint64_t) || numbers[2] >= size) damaged("is damaged");
    const uint64_t table = (numbers[1] + 1) * sizeof(uint64_t);
    if (kFooter + table + numbers[2] > size) damaged("is damaged");
    const uint64_t blobs = size - kFooter - table - numbers[2];
    table_.resize(numbers[1] + 1);
    const std::string read = file_->read(blobs, table + numbers[2]);
    std::memcpy(table_.data(), read.data(), table);
    const std::string note = read.substr(table);
    if (end.compare(32, kHex, key) != 0) damaged("is of other data or settings");
    if (footer(key, table_, note) != end || table_.back() != blobs) damaged("is damaged");
    for (size_t i = 1; i < table_.size(); ++i)
      if (table_[i] < table_[i - 1] + kCheck) damaged("is damaged");
    note_ = parse_json(note, path);
  });
}

uint64_t BlobFile::bytes() const {
  return file_ == nullptr ? held_.size() : file_->size();
}

std::string BlobFile::blob(size_t i) const {
  const uint64_t begin = table_.at(i), size = table_.at(i + 1) - begin;
  std::string out = file_ == nullptr ? held_.substr(begin, size) : file_->read(begin, size);
  uint32_t check = 0;
  std::memcpy(&check, out.data() + size - kCheck, kCheck);
  out.resize(size - kCheck);
  if (check_of(out) != check) {
    if (file_ == nullptr) bug("a damaged blob in memory");
    user_error("{}: this file of the data cache is damaged: remove it and start again", file_->path());
  }
  return out;
}

BlobWriter::BlobWriter(std::string path, std::string key) : path_(std::move(path)), key_(std::move(key)) {
  if (!path_.empty()) problems_of([&] { out_ = std::make_unique<FileStream>(path_); });
}

void BlobWriter::flush() {
  if (out_ == nullptr) return;
  problems_of([&] { out_->write(waiting_.data(), waiting_.size()); });
  waiting_.clear();
}

void BlobWriter::add(std::string_view blob) {
  const uint32_t check = check_of(blob);
  waiting_ += blob;
  waiting_.append(reinterpret_cast<const char*>(&check), kCheck);
  table_.push_back(table_.back() + blob.size() + kCheck);
  if (waiting_.size() >= kWaiting) flush();
}

std::unique_ptr<BlobFile> BlobWriter::commit(const Json& note) {
  if (out_ == nullptr) {
    std::unique_ptr<BlobFile> held(new BlobFile());
    held->held_ = std::move(waiting_);
    held->held_.shrink_to_fit();
    held->table_ = std::move(table_);
    held->note_ = note;
    return held;
  }
  flush();
  const std::string text = note.dump(), end = footer(key_, table_, text);
  problems_of([&] {
    out_->write(table_.data(), table_.size() * sizeof(uint64_t));
    out_->write(text.data(), text.size());
    out_->write(end.data(), end.size());
    out_->commit();
  });
  out_.reset();
  table_ = {};
  return std::make_unique<BlobFile>(path_, key_);
}

void put_number(std::string& out, uint64_t number) {
  for (; number >= 128; number >>= 7) out += static_cast<char>((number & 127) | 128);
  out += static_cast<char>(number);
}

uint64_t take_number(std::string_view in, size_t& at) {
  uint64_t out = 0;
  for (int shift = 0;; shift += 7) {
    if (at >= in.size() || shift > 63) bug("a number of the data cache does not end");
    const auto byte = static_cast<unsigned char>(in[at++]);
    out |= static_cast<uint64_t>(byte & 127) << shift;
    if (byte < 128) return out;
  }
}

}  // namespace temper
