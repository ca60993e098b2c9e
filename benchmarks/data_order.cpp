// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
// What the order of an epoch costs and gives. "quality" prints how many samples of a batch come
// from the same shard, "slow" reads shards from a disk that this program makes slow, and "size"
// starts on 414 million samples.
#include <dlfcn.h>
#include <torch/torch.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <contrapunto/contrapunto.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <mutex>
#include <thread>

#include "../tests/data/tar_writer.hpp"

namespace cp = contrapunto;

namespace {

// ==== A slow disk ================================================================================
// One head: reads wait for each other, and each costs a seek unless it goes on where the last one
// ended.
struct SlowDisk {
  double seek_seconds = 0.0, bytes_per_second = 0.0;
  std::atomic<std::int64_t> reads = 0, bytes = 0, seeks = 0;
  std::mutex head;
  int file = -1;
  off_t at = 0;
} disk;

}  // namespace

// Takes the place of the C library's function in this program.
extern "C" ssize_t pread(int file, void* target, size_t count, off_t offset) {
  using Function = ssize_t (*)(int, void*, size_t, off_t);
  static const auto original = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "pread"));
  const ssize_t got = original(file, target, count, offset);
  if (disk.bytes_per_second <= 0.0 || got <= 0) return got;
  const std::lock_guard lock(disk.head);
  const bool seeks = file != disk.file || offset != disk.at;
  disk.file = file;
  disk.at = offset + got;
  ++disk.reads;
  disk.bytes += got;
  disk.seeks += seeks;
  std::this_thread::sleep_for(std::chrono::duration<double>(
      (seeks ? disk.seek_seconds : 0.0) + static_cast<double>(got) / disk.bytes_per_second));
  return got;
}

namespace {

// ==== Quality ====================================================================================
// Prints the probability that two samples of a batch come from the same shard, over that of a
// perfect shuffle, for 1,000 shards of 10,000 samples and batches of 4,096.
void quality() {
  constexpr std::int64_t kShards = 1000, kPerShard = 10'000, kBatch = 4096, kBatches = 200;
  const std::vector<std::int64_t> sizes(kShards, kPerShard);
  const auto measure = [&](const std::string& name, std::int64_t in_flight,
                           const cp::EpochOrderOptions& options) {
    const cp::EpochOrder order(sizes, options, 1, 0);
    double same = 0.0, pairs = 0.0, shards = 0.0;
    for (std::int64_t batch = 0; batch < kBatches; ++batch) {
      std::map<std::int64_t, double> counts;
      const std::int64_t first = (batch * (order.size() / kBatches / kBatch)) * kBatch;
      for (std::int64_t i = 0; i < kBatch; ++i) ++counts[order(first + i) / kPerShard];
      for (const auto& [shard, count] : counts) same += count * (count - 1);
      pairs += kBatch * (kBatch - 1.0);
      shards += static_cast<double>(counts.size());
    }
    const double perfect = (kPerShard - 1.0) / (kShards * kPerShard - 1.0);
    std::cout << name << "," << in_flight << "," << same / pairs / perfect << ","
              << shards / kBatches << "\n";
  };
  std::cout << "order,samples_in_flight,same_shard_pairs,shards_per_batch\n";
  for (const std::int64_t window : {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000})
    measure("shards", window * kPerShard, {.window = window});
  for (const std::int64_t pieces : {1, 2, 4, 8, 16, 32, 64, 128})
    measure("pieces", 8 * pieces * 256,
            {.window = 256, .piece_samples = 256, .pieces_together = pieces, .lanes = 8});
}

// ==== Speed ======================================================================================
// Writes a shard unless it exists. The images have `side` pixels on each side, as PPM, which costs
// nothing to decode.
void make_shard(const std::string& path, int samples, std::int64_t side) {
  if (std::filesystem::exists(path)) return;
  cp::RgbImage image(side, side);
  std::fill_n(image.data(), image.bytes(), std::uint8_t{127});
  const auto ppm = cp::encode_ppm(image);
  cp::AtomicFile file(path);
  for (int i = 0; i < samples; ++i) {
    char key[16];
    std::snprintf(key, sizeof key, "%09d", i);
    file.write(cp::test::tar_member(std::string(key) + ".ppm", {ppm.begin(), ppm.end()}));
    file.write(cp::test::tar_member(std::string(key) + ".txt", "a photo"));
  }
  file.write(std::string(1024, '\0'));
  file.commit();
}

std::shared_ptr<const cp::ShardSource> make_shards(const std::string& folder) {
  std::filesystem::create_directories(folder);
  std::vector<std::string> shards;
  for (int shard = 0; shard < 8; ++shard) {
    shards.push_back(folder + "/" + std::to_string(shard) + ".tar");
    make_shard(shards.back(), 500, 140);  // 59 KB each.
  }
  return std::make_shared<const cp::ShardSource>(shards);
}

std::vector<std::int64_t> bytes_of(std::string_view text) {
  return {text.begin(), text.end()};
}

// Reads half an epoch from disks of several kinds, one by one and in pieces.
void slow(const std::string& folder) {
  const auto source = make_shards(folder);
  std::cout
      << "disk,piece_samples,samples_per_second,reads_per_sample,seeks_per_sample,bytes_per_sample,"
         "fraction_of_bandwidth\n";
  struct Kind {
    const char* name;
    double seek_seconds, bytes_per_second;
  };
  for (const auto& [name, seek, speed] :
       {Kind{"hard disk", 8e-3, 150e6}, {"network", 2e-3, 400e6}, {"solid state", 8e-5, 500e6}})
    for (const std::int64_t piece : {0, 16, 64, 128}) {
      cp::LoaderOptions options{.batch_size = 100, .threads = 4, .stall_seconds = 0};
      options.read_ahead = {.piece_samples = piece, .pieces_together = 2, .lanes = 2};
      cp::DataLoader loader(source, cp::ImageTransform({.image_size = 32, .train = true}), bytes_of,
                            options);
      disk.reads = disk.bytes = disk.seeks = 0;
      disk.seek_seconds = seek;
      disk.bytes_per_second = speed;
      const auto begin = std::chrono::steady_clock::now();
      loader.start_epoch(0);
      double samples = 0.0;
      for (int batch = 0; batch < 20; ++batch)
        samples += static_cast<double>(loader.next()->size());
      const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
      disk.bytes_per_second = 0.0;
      // Reads that are ahead when the clock stops belong to later samples, as those at the start
      // did.
      std::cout << name << "," << piece << "," << samples / seconds.count() << ","
                << static_cast<double>(disk.reads) / samples << ","
                << static_cast<double>(disk.seeks) / samples << ","
                << static_cast<double>(disk.bytes) / samples << ","
                << static_cast<double>(disk.bytes) / seconds.count() / speed << std::endl;
    }
}

// ==== Size =======================================================================================
double resident_mb() {
  std::ifstream file("/proc/self/statm");
  double pages = 0.0, resident = 0.0;
  file >> pages >> resident;
  return resident * static_cast<double>(::sysconf(_SC_PAGESIZE)) / 1e6;
}

// Starts a loader on the names and indexes of 41,455 shards of 10,000 samples, as LAION-400M has.
void size(const std::string& folder) {
  constexpr int kShards = 41'455, kSamples = 10'000;
  std::filesystem::create_directories(folder);
  const std::string first = folder + "/first.tar";
  make_shard(first, kSamples, 2);
  std::vector<std::string> shards;
  for (int i = 0; i < kShards; ++i)
    shards.push_back(folder + "/" + std::to_string(100'000 + i) + ".tar");
  if (!std::filesystem::exists(shards.back())) {
    // The index of a file that is younger than two seconds is not stored.
    std::this_thread::sleep_for(std::chrono::seconds(3));
    static_cast<void>(cp::index_shards({first}));
    for (const auto& shard : shards) {
      std::filesystem::create_hard_link(first, shard);
      std::filesystem::create_hard_link(first + ".index", shard + ".index");
    }
  }
  std::cout << "order,start_seconds,memory_mb,epoch_seconds,first_batch_seconds\n";
  for (const std::int64_t piece : {0, 256}) {
    const double before = resident_mb();
    auto begin = std::chrono::steady_clock::now();
    const auto lap = [&] {
      const auto now = std::chrono::steady_clock::now();
      return std::chrono::duration<double>(now - std::exchange(begin, now)).count();
    };
    const auto source = std::make_shared<const cp::ShardSource>(shards);
    cp::LoaderOptions options{.batch_size = 256};
    options.read_ahead.piece_samples = piece;
    cp::DataLoader loader(source, cp::ImageTransform({.image_size = 1, .train = true}), bytes_of,
                          options);
    const double start = lap();
    loader.start_epoch(1, 300'000'000);
    const double epoch = lap();
    static_cast<void>(loader.next());
    const double batch = lap();
    std::cout << (piece ? "pieces" : "samples") << "," << start << "," << resident_mb() - before
              << "," << epoch << "," << batch << std::endl;
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "quality") {
    quality();
  } else if (what == "slow" && argc > 2) {
    slow(argv[2]);
  } else if (what == "size" && argc > 2) {
    size(argv[2]);
  } else {
    std::cerr << "usage: bench_data_order quality | slow FOLDER | size FOLDER\n";
    return 2;
  }
}
