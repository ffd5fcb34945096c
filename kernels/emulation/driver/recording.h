// The file that the stand-in writes and tests/kernels/replay.cpp reads: what a program did with the device, one event after the other, addresses as places in numbered allocations.
// Little-endian; integers of 8 bytes, names and bytes with their length before them.
#pragma once
#include <stdint.h>
#include <stdio.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace elm::recording {

constexpr char kMagic[8] = {'e', 'l', 'm', 'c', 'u', 'd', 'a', '1'};

enum class Kind : uint8_t {
  /// allocation, bytes. Its content is 0xff.
  Allocate = 'A',
  /// allocation
  Free = 'F',
  /// place, bytes: came from the host, or from work that is not in the recording
  Write = 'W',
  /// place, length, one byte that fills it
  Fill = 'S',
  /// place, source, length
  Copy = 'C',
  /// name, grid x 3, block x 3, shared bytes, arguments: count, then for each its bytes, and the count of the addresses in it with (offset in the argument, place)
  Launch = 'L',
  /// place, bytes that the host read
  Read = 'R',
};

struct Place {
  uint64_t allocation, offset;
};

class Writer {
 public:
  explicit Writer(const std::string& path) : file_(fopen(path.c_str(), "wb")) {
    if (file_)
      put_raw(kMagic, sizeof kMagic);
  }
  ~Writer() {
    if (file_)
      fclose(file_);
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  bool is_open() const { return file_; }
  void put(Kind kind) { put_raw(&kind, 1); }
  void put(uint64_t value) { put_raw(&value, sizeof value); }
  void put(Place place) {
    put(place.allocation);
    put(place.offset);
  }
  void put(const void* bytes, size_t count) {
    put(static_cast<uint64_t>(count));
    put_raw(bytes, count);
  }
  void flush() { fflush(file_); }

 private:
  void put_raw(const void* bytes, size_t count) { fwrite(bytes, 1, count, file_); }
  FILE* file_;
};

class Reader {
 public:
  /// Throws std::runtime_error where the file is not a recording, or ends in the middle of an event.
  explicit Reader(const std::string& path) : path_(path), file_(fopen(path.c_str(), "rb")) {
    char magic[sizeof kMagic];
    if (!file_ || fread(magic, 1, sizeof magic, file_) != sizeof magic || std::string_view(magic, sizeof magic) != std::string_view(kMagic, sizeof kMagic))
      throw std::runtime_error(path + " is not a recording");
  }
  ~Reader() {
    if (file_)
      fclose(file_);
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  /// False at the end.
  bool next(Kind& kind) { return fread(&kind, 1, 1, file_) == 1; }
  uint64_t number() {
    uint64_t value;
    get_raw(&value, sizeof value);
    return value;
  }
  Place place() {
    const uint64_t allocation = number();
    return {allocation, number()};
  }
  std::vector<unsigned char> bytes() {
    std::vector<unsigned char> content(number());
    get_raw(content.data(), content.size());
    return content;
  }

 private:
  void get_raw(void* bytes, size_t count) {
    if (fread(bytes, 1, count, file_) != count)
      throw std::runtime_error(path_ + " ends in the middle of an event");
  }
  std::string path_;
  FILE* file_;
};

}  // namespace elm::recording
