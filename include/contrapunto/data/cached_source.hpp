// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "contrapunto/core/data_error.hpp"
#include "contrapunto/core/error_text.hpp"
#include "contrapunto/data/data_shard.hpp"
#include "contrapunto/data/detail/forwarding_source.hpp"
#include "contrapunto/data/detail/image_cache_file.hpp"
#include "contrapunto/data/detail/in_parallel.hpp"
#include "contrapunto/data/detail/make_cached_image.hpp"
#include "contrapunto/data/detail/open_files.hpp"
#include "contrapunto/data/detail/random_access_file.hpp"
#include "contrapunto/data/detail/shard_places.hpp"
#include "contrapunto/data/encoded_sample.hpp"
#include "contrapunto/data/image_cache_recipe.hpp"
#include "contrapunto/data/read_sample.hpp"
#include "contrapunto/data/sample_source.hpp"
#include "contrapunto/io/file_lock.hpp"

namespace contrapunto {

struct CachedSourceOptions {
  std::string folder = {};  ///< Of the cache; created if necessary.
  ImageCacheRecipe recipe = {};
  /// Whether a thread of low priority makes the missing files from the first read() on.
  bool in_background = true;
  /// Called when the cache ends or a file of it is dropped, by any thread, one at a time. It must
  /// not use the source.
  std::function<void(const std::string&)> on_note = {};
};

/// How far an image cache is.
struct ImageCacheProgress {
  std::int64_t shards = 0;           ///< Shards of the data.
  std::int64_t finished_shards = 0;  ///< Of these, with a file.
  std::int64_t images = 0;           ///< That this object has made.
  std::int64_t unusable = 0;         ///< Among them, images that cannot be decoded.
  std::int64_t dropped_shards = 0;   ///< Whose file was damaged, or whose samples the source could
                                     ///< mostly not read.
  std::string problem = {};          ///< Why no more files are written; empty if they are.
};

/// The samples of another source with smaller images, which are kept in a folder: see
/// ImageCacheRecipe. Reading them saves most of the time for decoding. The captions, labels and
/// keys are read from the source, so the cache does not depend on the choice of captions.
///
/// read() gives an image of the recipe whether it is in the cache or not: otherwise it is made from
/// the source, and kept. The batches of a loader therefore do not depend on how much of the cache
/// exists. An image that cannot be decoded is recorded and raises the same DataError as without a
/// cache.
///
/// There is one file for each shard of the source, named by the shard, its identity and the recipe.
/// It has a checksum for each sample, and is renamed into place when it is complete, so a killed
/// process leaves no part of one. Processes share the files; each file is made by one of them. When
/// a file cannot be written, as on a full disk, no more are begun. When one is damaged or was made
/// from other images, it is removed, and its images are made from the source until the next start.
class CachedSource : public detail::ForwardingSource {
 public:
  /// Raises for a null source, for a recipe out of range, and if the folder cannot be created.
  CachedSource(std::shared_ptr<const SampleSource> source, CachedSourceOptions options)
      : ForwardingSource(std::move(source), "CachedSource"), o_(std::move(options)) {
    TORCH_CHECK(!o_.folder.empty(), "CachedSource: no folder given");
    const ImageCacheRecipe& recipe = o_.recipe;
    TORCH_CHECK(recipe.side > 0, "CachedSource: side (", recipe.side, ") must be positive");
    TORCH_CHECK(0 <= recipe.quality && recipe.quality <= 100, "CachedSource: quality (",
                recipe.quality, ") must be from 1 to 100, or 0 for raw pixels");
    std::error_code error;
    std::filesystem::create_directories(o_.folder, error);
    TORCH_CHECK(!error, "CachedSource: cannot create the folder '", o_.folder,
                "': ", error.message());
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(o_.folder)) {
      const auto name = entry.path().filename().string();
      (name.find(".images.tmp-") == std::string::npos ? names : leftovers_).insert(name);
    }
    const auto shards = wrapped().shards();
    places_ = detail::ShardPlaces(shards);
    TORCH_CHECK(places_.size() == wrapped().size(), "CachedSource: shards() of the source has ",
                places_.size(), " samples and size() is ", wrapped().size());
    std::int64_t first = 0;
    for (const DataShard& shard : shards) {
      auto& added = *shards_.emplace_back(std::make_unique<Shard>());
      added.first = first;
      added.samples = shard.samples;
      added.binding = detail::image_cache_binding(shard, recipe);
      added.name = detail::image_cache_file(shard, recipe);
      added.state = names.count(added.name) ? State::kClosed : State::kMissing;
      first += shard.samples;
    }
  }

  /// Ends the thread. Files that it has not finished are removed.
  ~CachedSource() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    if (background_.joinable()) background_.join();
  }

  [[nodiscard]] EncodedSample read(std::int64_t index) const override {
    TORCH_CHECK_INDEX(0 <= index && index < size(), "CachedSource: sample ", index, " of ", size());
    if (o_.in_background && !begun_.exchange(true)) begin_in_background();
    const auto [number, place] = places_(index);
    Shard& shard = *shards_[number];
    if (is_open(shard))
      if (auto sample = read_cached(shard, place)) return std::move(*sample);
    return converted(shard, place, wrapped().read(index));
  }

  /// Reads from the source at once what is not in the cache.
  [[nodiscard]] std::vector<ReadSample> read_range(std::int64_t begin,
                                                   std::int64_t end) const override {
    bool is_cached = true;
    for (std::int64_t index = begin; index < end; ++index)
      is_cached = is_cached && is_open(*shards_[places_(index).first]);
    if (is_cached) return SampleSource::read_range(begin, end);
    if (o_.in_background && !begun_.exchange(true)) begin_in_background();
    auto samples = wrapped().read_range(begin, end);
    for (std::int64_t index = begin; index < end; ++index) {
      auto& [sample, problem] = samples[static_cast<std::size_t>(index - begin)];
      if (!problem.empty()) continue;
      try {
        const auto [number, place] = places_(index);
        sample = converted(*shards_[number], place, std::move(sample));
      } catch (const DataError& error) {
        problem = error.what();
      }
    }
    return samples;
  }

  /// Makes the missing files in `threads` threads, and waits for files that other processes make.
  /// Calls `on_progress` now and then. Returns early if no more files can be written; see
  /// ImageCacheProgress::problem. Raises what the source raises, except DataError.
  ImageCacheProgress build(
      std::int64_t threads,
      const std::function<void(const ImageCacheProgress&)>& on_progress = {}) const {
    TORCH_CHECK(threads > 0, "CachedSource: threads (", threads, ") must be positive");
    std::vector<Shard*> all;
    for (const auto& shard : shards_) all.push_back(shard.get());
    build_missing(std::move(all), threads, on_progress);
    return progress();
  }

  /// How far the cache is now.
  [[nodiscard]] ImageCacheProgress progress() const {
    ImageCacheProgress now{
        .shards = std::ssize(shards_), .images = images_made_, .unusable = unusable_made_};
    for (const auto& shard : shards_) {
      const State state = shard->state;
      now.finished_shards += state == State::kOpen || state == State::kClosed;
      now.dropped_shards += state == State::kDropped;
    }
    const std::lock_guard lock(mutex_);
    now.problem = problem_;
    return now;
  }

  [[nodiscard]] const CachedSourceOptions& options() const { return o_; }

 private:
  /// Most files that read() is making at the same time. Each takes two open files.
  static constexpr std::int64_t kMostWriters = 32;

  enum class State {
    kMissing,  // There is no file.
    kClosed,   // There was a file when this object was created.
    kOpen,     // The file was found to be valid.
    kDropped   // The file was damaged or useless. It is not made again before the next start.
  };
  /// A file in preparation, with its lock.
  struct Writing {
    FileLock lock;
    detail::ImageCacheWriter writer;
  };
  struct Shard {
    std::int64_t first = 0;  // Index of its first sample.
    std::int64_t samples = 0;
    std::uint64_t binding = 0;
    std::string name;
    std::atomic<State> state;
    detail::ImageCacheLayout::Tail tail;  // Set before the state is kOpen.
    std::shared_ptr<Writing> writing;     // Guarded by mutex_.
  };

  [[nodiscard]] std::filesystem::path path_of(const Shard& shard) const {
    return std::filesystem::path(o_.folder) / shard.name;
  }

  /// Returns whether images can be read from the file of the shard, which is opened if this is its
  /// first use.
  [[nodiscard]] bool is_open(Shard& shard) const {
    if (shard.state == State::kClosed) {
      const std::lock_guard lock(mutex_);
      if (shard.state == State::kClosed) open(shard);
    }
    return shard.state == State::kOpen;
  }

  /// Opens the file of the shard. If it is not valid, it is removed and missing. Call it with
  /// mutex_ locked.
  void open(Shard& shard) const {
    shard.state = State::kMissing;
    std::optional<detail::ImageCacheLayout::Tail> tail;
    try {
      const detail::RandomAccessFile file(path_of(shard).string());
      tail = detail::read_image_cache_tail(file, shard.binding, shard.samples);
    } catch (const DataError&) {  // It was removed, or cannot be read.
    }
    if (tail && fits_source(shard, *tail)) {
      shard.tail = *tail;
      shard.state = State::kOpen;
    } else if (std::error_code ignored; std::filesystem::remove(path_of(shard), ignored)) {
      note("image cache: '" + path_of(shard).string() +
           "' is damaged or was made from other images, and is made again");
    }
  }

  /// Compares one image of the source with what the file was made from. Names and sizes are equal;
  /// without this, raw images in the source could all have other pixels.
  [[nodiscard]] bool fits_source(const Shard& shard,
                                 const detail::ImageCacheLayout::Tail& tail) const {
    if (tail.probe == tail.samples) return true;
    try {
      const auto sample = wrapped().read(shard.first + static_cast<std::int64_t>(tail.probe));
      return detail::image_checksum(sample.image, 0) == tail.probe_checksum;
    } catch (const DataError&) {
      return true;
    }
  }

  /// Returns nothing if the image must be made from the source.
  [[nodiscard]] std::optional<EncodedSample> read_cached(Shard& shard, std::int64_t place) const {
    EncodedSample sample = wrapped().read_without_image(shard.first + place);
    detail::CachedImage cached;
    try {
      const auto file = files_(path_of(shard).string());
      cached = detail::read_cached_image(*file, shard.tail, place, sample.image_bytes);
    } catch (const DataError& error) {
      drop(shard, error.what());
      return std::nullopt;
    }
    if (cached.kind == detail::CachedImage::Kind::kUnreadable) return std::nullopt;
    return with_image(std::move(sample), std::move(cached));
  }

  /// Returns a sample of the source with its image made by the recipe, which is kept.
  [[nodiscard]] EncodedSample converted(Shard& shard, std::int64_t place,
                                        EncodedSample sample) const {
    detail::CachedImage made = make(sample.image);
    keep(shard, place, made, sample.image);
    return with_image(std::move(sample), std::move(made));
  }

  [[nodiscard]] static EncodedSample with_image(EncodedSample sample, detail::CachedImage image) {
    if (image.kind == detail::CachedImage::Kind::kUnusable)
      throw DataError(sample.source + ": " + sample.key + ": " +
                      std::string(image.bytes.begin(), image.bytes.end()));
    sample.image = std::move(image.bytes);
    sample.image_bytes = 0;
    return sample;
  }

  [[nodiscard]] detail::CachedImage make(const std::vector<std::uint8_t>& image) const {
    thread_local detail::CachedImageWorkspace work;
    try {
      return {detail::CachedImage::Kind::kImage, detail::make_cached_image(image, o_.recipe, work)};
    } catch (const DataError& error) {
      const std::string reason = error.what();
      return {detail::CachedImage::Kind::kUnusable, {reason.begin(), reason.end()}};
    }
  }

  void drop(Shard& shard, const std::string& reason) const {
    State open = State::kOpen;
    if (!shard.state.compare_exchange_strong(open, State::kDropped)) return;
    std::error_code ignored;
    std::filesystem::remove(path_of(shard), ignored);
    note("image cache: " + reason + ". The file is dropped; its images are made from the data");
  }

  void note(const std::string& text) const {
    const std::lock_guard lock(note_mutex_);
    if (o_.on_note) o_.on_note(text);
  }

  /// Adds an image that read() has made to the file of its shard, if one is in preparation or can
  /// be begun.
  void keep(Shard& shard, std::int64_t place, const detail::CachedImage& image,
            const std::vector<std::uint8_t>& source_image) const {
    if (shard.state != State::kMissing || writing_ended_) return;
    guard_writing([&] {
      if (const auto writing = begin(shard, kMostWriters))
        add(shard, *writing, place, image, source_image);
    });
  }

  /// Calls `write`. No more files are written after an exception.
  template <class Write>
  void guard_writing(const Write& write) const {
    try {
      write();
    } catch (const std::exception& error) {
      end_writing(error_text(error));
    }
  }

  void end_writing(const std::string& reason) const {
    if (writing_ended_.exchange(true)) return;
    {
      const std::lock_guard lock(mutex_);
      problem_ = reason;
      for (const auto& shard : shards_) shard->writing.reset();
    }
    wake_.notify_all();
    note(
        "image cache: no more files are written, and images that are not in the cache are made "
        "from the data: " +
        reason);
  }

  /// Returns the file of the shard in preparation, which is begun if necessary. Returns nothing if
  /// another process is making it or has made it, or if there are `most` files in preparation.
  [[nodiscard]] std::shared_ptr<Writing> begin(Shard& shard, std::int64_t most) const {
    const std::lock_guard lock(mutex_);
    if (shard.writing || shard.state != State::kMissing || writing_ended_) return shard.writing;
    if (writers_ >= most) return nullptr;
    const auto locks = std::filesystem::path(o_.folder) / "locks";
    std::filesystem::create_directories(locks);
    auto lock_of_shard = FileLock::try_lock(locks / shard.name);
    if (!lock_of_shard) return nullptr;
    if (std::filesystem::exists(path_of(shard))) open(shard);  // Another process was faster.
    if (shard.state != State::kMissing) return nullptr;
    if (lock_of_shard->held()) remove_leftovers(shard);
    ++writers_;
    try {
      shard.writing.reset(
          new Writing{std::move(*lock_of_shard), {path_of(shard), shard.binding, shard.samples}},
          [this](Writing* writing) {
            delete writing;
            --writers_;
          });
    } catch (...) {
      --writers_;
      throw;
    }
    return shard.writing;
  }

  /// Removes what a killed process was writing. Only the holder of the lock may do so.
  void remove_leftovers(const Shard& shard) const {
    const std::string begins = shard.name + ".tmp-";
    for (auto left = leftovers_.lower_bound(begins);
         left != leftovers_.end() && left->starts_with(begins); left = leftovers_.erase(left))
      std::filesystem::remove(std::filesystem::path(o_.folder) / *left);
  }

  void add(Shard& shard, Writing& writing, std::int64_t place, const detail::CachedImage& image,
           const std::vector<std::uint8_t>& source_image) const {
    const bool complete = writing.writer.add(place, image, source_image);
    images_made_ += image.kind != detail::CachedImage::Kind::kUnreadable;
    unusable_made_ += image.kind == detail::CachedImage::Kind::kUnusable;
    if (complete) finish(shard, writing);
  }

  void finish(Shard& shard, Writing& writing) const {
    const bool useful = !writing.writer.is_mostly_unreadable();
    if (useful) writing.writer.commit();
    const std::lock_guard lock(mutex_);
    if (useful) open(shard);
    if (shard.state != State::kOpen) shard.state = State::kDropped;
    shard.writing.reset();
  }

  void begin_in_background() const {
    std::vector<Shard*> missing;
    for (const auto& shard : shards_)
      if (shard->state == State::kMissing) missing.push_back(shard.get());
    if (missing.empty()) return;
    try {
      background_ = std::thread([this, missing = std::move(missing)] {
        // On Linux the priority is that of this thread. Without it the thread has the usual one.
        static_cast<void>(::setpriority(PRIO_PROCESS, 0, 19));
        try {
          build_missing(missing, 1, {});
        } catch (const std::exception& error) {  // read() raises it where the sample is needed.
          end_writing(error_text(error));
        }
      });
    } catch (const std::system_error& error) {
      note(std::string("image cache: the system started no thread to fill it: ") + error.what());
    }
  }

  void build_missing(std::vector<Shard*> pending, std::int64_t threads,
                     const std::function<void(const ImageCacheProgress&)>& on_progress) const {
    std::mutex progress_mutex;
    const auto report = [&] {
      if (!on_progress) return;
      const ImageCacheProgress now = progress();
      const std::lock_guard lock(progress_mutex);
      on_progress(now);
    };
    while (!pending.empty() && !must_stop()) {
      std::vector<char> done(pending.size());
      std::atomic<bool> advanced{false};
      detail::in_parallel(std::ssize(pending), threads, [&](std::int64_t i) {
        const auto number = static_cast<std::size_t>(i);
        done[number] = build(*pending[number], report);
        if (done[number]) advanced = true;
        report();
      });
      std::size_t kept = 0;
      for (std::size_t i = 0; i < pending.size(); ++i)
        if (!done[i]) pending[kept++] = pending[i];
      pending.resize(kept);
      if (advanced) continue;
      std::unique_lock lock(mutex_);  // Other processes are making the rest.
      wake_.wait_for(lock, std::chrono::milliseconds(500),
                     [&] { return stopping_ || writing_ended_; });
    }
  }

  [[nodiscard]] bool must_stop() const { return stopping_ || writing_ended_; }

  /// Makes the images of the shard that are missing. Returns false if the file is not finished,
  /// because others are making it.
  [[nodiscard]] bool build(Shard& shard, const std::function<void()>& report) const {
    if (must_stop()) return false;
    if (is_open(shard) || shard.state == State::kDropped) return true;
    std::shared_ptr<Writing> writing;
    guard_writing([&] { writing = begin(shard, std::ssize(shards_) + 1); });
    if (!writing) return shard.state != State::kMissing;
    for (std::int64_t place = 0; place < shard.samples && !must_stop(); ++place) {
      if (writing->writer.has(place)) continue;
      detail::CachedImage image{detail::CachedImage::Kind::kUnreadable, {}};
      std::vector<std::uint8_t> source_image;
      try {
        source_image = wrapped().read(shard.first + place).image;
        image = make(source_image);
      } catch (const DataError&) {  // The loader names and counts it when it needs it.
      }
      guard_writing([&] { add(shard, *writing, place, image, source_image); });
      if (place % 100 == 99) report();
    }
    return shard.state != State::kMissing;  // read() may be adding the last image.
  }

  CachedSourceOptions o_;
  detail::ShardPlaces places_;
  mutable detail::OpenFiles files_;
  mutable std::atomic<std::int64_t> images_made_{0}, unusable_made_{0};
  mutable std::atomic<std::int64_t> writers_{0};
  mutable std::atomic<bool> begun_{false}, stopping_{false}, writing_ended_{false};
  std::vector<std::unique_ptr<Shard>> shards_;
  mutable std::mutex mutex_;  // Guards the opening and beginning of files, and the following.
  mutable std::set<std::string> leftovers_;  // Temporary files that were there at the start.
  mutable std::string problem_;
  mutable std::condition_variable wake_;
  mutable std::mutex note_mutex_;
  mutable std::thread background_;
};

}  // namespace contrapunto
