// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
// What the order of an epoch costs and gives. "quality" prints how many samples of a batch come
// from the same shard, "slow" reads shards from a disk that this program makes slow.
#include <dlfcn.h>
#include <torch/torch.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <contrapunto/contrapunto.hpp>
#include <cstdio>
#include <iostream>
#include <map>
#include <mutex>
#include <thread>

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
std::shared_ptr<const cp::ShardSource> make_shards(const std::string& folder) {
  std::filesystem::create_directories(folder);
  cp::RgbImage image(140, 140);  // 59 KB; a PPM costs nothing to decode.
  std::fill_n(image.data(), image.bytes(), std::uint8_t{127});
  const auto ppm = cp::encode_ppm(image);
  const auto header = [](const std::string& name, std::size_t bytes) {
    std::string block(512, '\0');
    const auto put = [&](std::size_t at, const std::string& text) {
      block.replace(at, text.size(), text);
    };
    char size[16];
    std::snprintf(size, sizeof size, "%011zo", bytes);
    put(0, name);
    put(124, size);
    put(148, "        ");
    put(156, "0");
    unsigned sum = 0;
    for (const char c : block) sum += static_cast<unsigned char>(c);
    std::snprintf(size, sizeof size, "%06o", sum);
    put(148, std::string(size, 7));
    return block;
  };
  const auto padded = [](std::string content) {
    content.resize((content.size() + 511) / 512 * 512, '\0');
    return content;
  };
  std::vector<std::string> shards;
  for (int shard = 0; shard < 8; ++shard) {
    shards.push_back(folder + "/" + std::to_string(shard) + ".tar");
    if (std::filesystem::exists(shards.back())) continue;
    cp::AtomicFile file(shards.back());
    for (int i = 0; i < 500; ++i) {
      const std::string key = std::to_string(shard) + "-" + std::to_string(i);
      file.write(header(key + ".ppm", ppm.size()));
      file.write(padded({ppm.begin(), ppm.end()}));
      file.write(header(key + ".txt", 7));
      file.write(padded("a photo"));
    }
    file.write(std::string(1024, '\0'));
    file.commit();
  }
  return std::make_shared<const cp::ShardSource>(shards);
}

// Reads half an epoch from disks of several kinds, one by one and in pieces.
void slow(const std::string& folder) {
  const auto source = make_shards(folder);
  const auto tokenize = [](std::string_view text) {
    return std::vector<std::int64_t>(text.begin(), text.end());
  };
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
      cp::DataLoader loader(source, cp::ImageTransform({.image_size = 32, .train = true}), tokenize,
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

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "quality") {
    quality();
  } else if (what == "slow" && argc > 2) {
    slow(argv[2]);
  } else {
    std::cerr << "usage: bench_data_order quality | slow FOLDER\n";
    return 2;
  }
}
