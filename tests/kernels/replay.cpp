// Replays what a program did with the device (kernels/emulation/driver/recording.h), each allocation of exactly its size, and compares what the host read. Built plain and with sanitizers:
// so every kernel goes through them with the launches that the real host code makes.
//   replay RECORDING [--order ascending|descending|random|run-ahead]... [--every-kernel]
// --every-kernel: it is an error when a kernel of the program is not launched in the recording.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "emulation/driver/recording.h"
#include "emulation/emulation.h"

using namespace elm::emulation;
using elm::recording::Kind;
using elm::recording::Place;
using elm::recording::Reader;

namespace {

constexpr const char* kOrders[] = {"ascending", "descending", "random", "run-ahead"};

class Memory {
 public:
  void allocate(uint64_t number, size_t bytes) {
    // The alignment that the driver promises; malloc's own guards lie right behind.
    constexpr size_t kAlignment = 256;
    void* start = nullptr;
    if (posix_memalign(&start, kAlignment, bytes) != 0)
      throw std::runtime_error("out of memory");
    memset(start, 0xff, bytes);
    blocks_[number] = {std::unique_ptr<unsigned char, decltype(&free)>(static_cast<unsigned char*>(start), &free), bytes};
  }
  void release(uint64_t number) { blocks_.erase(number); }
  unsigned char* at(Place place, size_t bytes) const {
    const auto found = blocks_.find(place.allocation);
    if (found == blocks_.end() || place.offset + bytes > found->second.bytes)
      throw std::runtime_error("the recording names memory that is not there");
    return found->second.start.get() + place.offset;
  }

 private:
  struct Block {
    std::unique_ptr<unsigned char, decltype(&free)> start{nullptr, &free};
    size_t bytes = 0;
  };
  std::map<uint64_t, Block> blocks_;
};

struct Counts {
  uint64_t launches = 0, reads = 0;
  std::set<std::string> kernels;
};

std::string launch(Reader& reader, const Memory& memory, Counts& counts) {
  const std::vector<unsigned char> letters = reader.bytes();
  const std::string name(letters.begin(), letters.end());
  unsigned size[6];
  for (unsigned& extent : size)
    extent = static_cast<unsigned>(reader.number());
  const size_t shared_bytes = reader.number();
  // Each argument in memory of its own, aligned as any type may want it.
  std::vector<std::vector<uint64_t>> storage(reader.number());
  std::vector<void*> arguments;
  for (auto& argument : storage) {
    const std::vector<unsigned char> bytes = reader.bytes();
    argument.resize((bytes.size() + 15) / 16 * 2);
    memcpy(argument.data(), bytes.data(), bytes.size());
    for (uint64_t addresses = reader.number(); addresses > 0; addresses--) {
      const uint64_t offset = reader.number();
      const unsigned char* address = memory.at(reader.place(), 0);
      memcpy(reinterpret_cast<unsigned char*>(argument.data()) + offset, &address, sizeof address);
    }
    arguments.push_back(argument.data());
  }
  const Kernel* kernel = find_kernel(name.c_str());
  if (!kernel)
    throw std::runtime_error("there is no kernel " + name + "; make the recording anew");
  counts.launches++;
  counts.kernels.insert(name);
  const std::string error = run(*kernel, {size[0], size[1], size[2]}, {size[3], size[4], size[5]}, shared_bytes, arguments.data()).error;
  return error.empty() ? error : name + ": " + error;
}

/// Empty when all went as recorded.
std::string replay(const char* path, Counts& counts) {
  Reader reader(path);
  Memory memory;
  std::string last;
  for (Kind kind; reader.next(kind);) {
    switch (kind) {
      case Kind::Allocate: {
        const uint64_t number = reader.number();
        memory.allocate(number, reader.number());
        break;
      }
      case Kind::Free: memory.release(reader.number()); break;
      case Kind::Write: {
        const Place place = reader.place();
        const std::vector<unsigned char> bytes = reader.bytes();
        memcpy(memory.at(place, bytes.size()), bytes.data(), bytes.size());
        break;
      }
      case Kind::Fill: {
        const Place place = reader.place();
        const uint64_t bytes = reader.number();
        memset(memory.at(place, bytes), static_cast<int>(reader.number()), bytes);
        break;
      }
      case Kind::Copy: {
        const Place target = reader.place(), source = reader.place();
        const uint64_t bytes = reader.number();
        memmove(memory.at(target, bytes), memory.at(source, bytes), bytes);
        break;
      }
      case Kind::Launch:
        if (const std::string error = launch(reader, memory, counts); !error.empty())
          return error;
        break;
      case Kind::Read: {
        const Place place = reader.place();
        const std::vector<unsigned char> expected = reader.bytes();
        const unsigned char* found = memory.at(place, expected.size());
        counts.reads++;
        const auto difference = std::mismatch(expected.begin(), expected.end(), found).first;
        if (difference != expected.end())
          return "read " + std::to_string(counts.reads) + ", after " + std::to_string(counts.launches) + " launches, differs from the recorded one at byte " +
                 std::to_string(difference - expected.begin()) + " of " + std::to_string(expected.size());
        break;
      }
      default: throw std::runtime_error("the recording has an unknown event");
    }
  }
  return {};
}

}  // namespace

int main(int count, char** arguments) {
  const char* path = nullptr;
  std::vector<Order> orders;
  bool every_kernel = false;
  for (int i = 1; i < count; i++) {
    const std::string_view argument = arguments[i];
    if (argument == "--every-kernel")
      every_kernel = true;
    else if (argument == "--order" && i + 1 < count) {
      const auto* found = std::find(std::begin(kOrders), std::end(kOrders), std::string_view(arguments[++i]));
      if (found == std::end(kOrders)) {
        fprintf(stderr, "replay: there is no order '%s'\n", arguments[i]);
        return 2;
      }
      orders.push_back(static_cast<Order>(found - kOrders));
    } else
      path = arguments[i];
  }
  if (!path) {
    fprintf(stderr, "usage: replay RECORDING [--order ascending|descending|random|run-ahead]... [--every-kernel]\n");
    return 2;
  }
  if (orders.empty())
    orders.push_back(Order::Ascending);
  std::set<std::string> kernels;
  for (const Order order : orders) {
    const auto start = std::chrono::steady_clock::now();
    settings().order = order;
    Counts counts;
    std::string error;
    try {
      error = replay(path, counts);
    } catch (const std::exception& broken) {
      error = broken.what();
    }
    const char* name = kOrders[static_cast<int>(order)];
    if (!error.empty()) {
      fprintf(stderr, "replay: %s: %s\n", name, error.c_str());
      return 1;
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    printf("%-10s %llu launches of %zu kernels, %llu reads with the recorded bytes, %.1f s\n", name, static_cast<unsigned long long>(counts.launches), counts.kernels.size(),
           static_cast<unsigned long long>(counts.reads), seconds);
    fflush(stdout);
    kernels.merge(counts.kernels);
  }
  std::string missing;
  for (const Kernel& kernel : all_kernels())
    if (every_kernel && !kernels.count(kernel.name))
      missing += std::string(missing.empty() ? "" : ", ") + kernel.name;
  if (!missing.empty()) {
    fprintf(stderr, "replay: no test of the CUDA backend launches %s\n", missing.c_str());
    return 1;
  }
  return 0;
}
