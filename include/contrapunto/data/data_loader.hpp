// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/Context.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "contrapunto/core/batch.hpp"
#include "contrapunto/core/concepts.hpp"
#include "contrapunto/core/data_error.hpp"
#include "contrapunto/core/random.hpp"
#include "contrapunto/core/state.hpp"
#include "contrapunto/data/detail/batch_builder.hpp"
#include "contrapunto/data/detail/printable.hpp"
#include "contrapunto/data/detail/sample_reader.hpp"
#include "contrapunto/data/detail/skip_counter.hpp"
#include "contrapunto/data/detail/substitute_place.hpp"
#include "contrapunto/data/epoch_order.hpp"
#include "contrapunto/data/loader_options.hpp"
#include "contrapunto/data/loader_statistics.hpp"
#include "contrapunto/data/sample_source.hpp"
#include "contrapunto/image/image_transform.hpp"

namespace contrapunto {

/// Batches of image-text pairs, prepared ahead by threads of this process.
///
/// A batch holds "image" uint8 [B, 3, S, S], and "image2" and so on with several views; "text"
/// int64 [B, L], padded with 0, when there is a tokenize function; "label" int64 [B], -1 for a
/// sample without one, when any sample has one; and the keys. An epoch is a sequence of samples, a
/// pure function of the source, the seed and the epoch. Batches are cut from it one after the
/// other, and the rows of a batch are parted among the ranks. So what a batch holds does not depend
/// on the number of threads, nor on where a run was interrupted, and a run may go on at any sample
/// with another batch size or number of ranks.
///
/// Training: floor(size / (batch_size * ranks)) batches an epoch on every rank. Another sample
/// takes the place of one that cannot be used, so no batch shrinks; see detail::substitute_place.
/// Evaluation: every batch, each usable sample once; the last is smaller, and with several ranks
/// some may get no row of it. An empty or blank caption counts as none.
///
///     DataLoader loader(source, ImageTransform({.train = true}), tokenize, {.batch_size = 512});
///     for (loader.start_epoch(3); auto batch = loader.next();) step(*batch);
class DataLoader {
 public:
  /// Token ids of a text, with the special ones and not longer than the context. Called by many
  /// threads at once.
  using Tokenize = std::function<std::vector<std::int64_t>(std::string_view)>;

  /// `tokenize` may be empty: batches then have no text, and captions are not needed.
  DataLoader(std::shared_ptr<const SampleSource> source, ImageTransform transform,
             Tokenize tokenize, LoaderOptions options = {})
      : source_(std::move(source)),
        transform_(std::move(transform)),
        tokenize_(std::move(tokenize)),
        o_(std::move(options)),
        reader_((check(), source_), o_.max_pixels, o_.cache_decoded ? o_.cache_bytes : 0),
        pinned_(o_.pin_memory && at::hasCUDA()),
        skips_(source_->size(), o_.max_unusable_fraction) {
    try {
      for (std::int64_t i = 0; i < o_.threads; ++i) workers_.emplace_back([this] { work(); });
    } catch (const std::system_error& error) {
      const std::size_t started = workers_.size();
      join_workers();
      TORCH_CHECK(false, "DataLoader: the system granted ", started, " of ", o_.threads,
                  " threads (", error.what(),
                  "); lower LoaderOptions::threads, or raise the limit of processes (ulimit -u, or "
                  "pids.max of the container) or of memory (ulimit -v)");
    }
  }

  DataLoader(const DataLoader&) = delete;
  DataLoader& operator=(const DataLoader&) = delete;

  /// Joins the threads, also in the middle of an epoch.
  ~DataLoader() { join_workers(); }

  /// Batches of a whole epoch, the same on every rank.
  [[nodiscard]] std::int64_t batches_per_epoch() const { return batches_from(0); }

  /// The epoch that was started last.
  [[nodiscard]] std::int64_t epoch() const {
    const std::lock_guard lock(mutex_);
    return epoch_;
  }

  /// Begins epoch `epoch` at its sample number `first_sample`, counted over all ranks, from 0 to
  /// the size of the source; what was prepared before is dropped. Batches are cut from there on.
  void start_epoch(std::int64_t epoch, std::int64_t first_sample = 0) {
    TORCH_CHECK(epoch >= 0, "DataLoader: epoch (", epoch, ") must not be negative");
    TORCH_CHECK(0 <= first_sample && first_sample <= source_->size(), "DataLoader: first_sample (",
                first_sample, ") must be from 0 to the size of the source (", source_->size(),
                "); a position in an epoch belongs to the data that it was counted in");
    std::unique_lock lock(mutex_);
    batches_ = 0;  // nothing more to hand out
    next_row_ = 0;
    idle_.wait(lock, [&] { return busy_ == 0; });
    queue_.clear();
    error_ = nullptr;
    epoch_ = epoch;
    order_.emplace(source_->shard_sizes(), o_.train, o_.shuffle_window, o_.seed, epoch);
    first_sample_ = first_sample;
    skips_.start_epoch();
    next_to_build_ = 0;
    next_to_give_ = 0;
    batches_ = batches_from(first_sample);
    work_.notify_all();
  }

  /// `epoch` and `samples`: how many samples of it next() has handed out over all ranks, from the
  /// beginning of the epoch. Batches that are prepared and not handed out do not count.
  [[nodiscard]] State save_state() const {
    const std::lock_guard lock(mutex_);
    const std::int64_t given = first_sample_ + next_to_give_ * samples_together();
    State state;
    state.scalars = {{"epoch", epoch_}, {"samples", std::min(given, source_->size())}};
    return state;
  }

  /// Starts the epoch of `state` at the sample after those that were handed out.
  void load_state(const State& state) {
    start_epoch(state.scalar<std::int64_t>("epoch"), state.scalar<std::int64_t>("samples"));
  }

  /// The next batch, or nothing at the end of the epoch. Raises what a thread raised: a mistake in
  /// the tokenize function, say, or that no usable sample was found.
  [[nodiscard]] std::optional<Batch> next() {
    std::unique_lock lock(mutex_);
    TORCH_CHECK(order_.has_value(), "DataLoader: call start_epoch() before next()");
    if (next_to_give_ >= batches_) return std::nullopt;
    const auto begin = std::chrono::steady_clock::now();
    // A mistake in a later batch waits for its turn: rows are handed out in order, so all before it
    // are being finished.
    ready_.wait(lock, [&] {
      return queue_.empty() ? error_ != nullptr : queue_.front()->ready || queue_.front()->error;
    });
    statistics_.wait_seconds +=
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    const bool is_ready = !queue_.empty() && queue_.front()->ready;
    std::optional<Batch> batch;
    if (is_ready) {
      batch = std::move(queue_.front()->batch);
      queue_.pop_front();
      ++next_to_give_;
      ++statistics_.batches;
      statistics_.samples += batch->size();
    }
    const auto skipped = std::exchange(skipped_, {});
    const std::exception_ptr error = is_ready         ? nullptr
                                     : queue_.empty() ? error_
                                                      : queue_.front()->error;
    lock.unlock();
    work_.notify_all();
    if (o_.on_skip)
      for (const SkippedSample& sample : skipped) o_.on_skip(sample);
    if (error) std::rethrow_exception(error);
    return batch;
  }

  [[nodiscard]] LoaderStatistics statistics() const {
    const std::lock_guard lock(mutex_);
    LoaderStatistics now = statistics_;
    now.skipped = skips_.report().skipped;
    now.first_skipped = skips_.report().first;
    return now;
  }

  [[nodiscard]] const LoaderOptions& options() const { return o_; }
  [[nodiscard]] const SampleSource& source() const { return *source_; }

 private:
  /// Unusable samples in a row after which there is no point in going on.
  static constexpr std::int64_t kMostAttempts = 1000;

  struct Slot {
    explicit Slot(std::int64_t first_place, std::int64_t rows,
                  detail::BatchBuilder::Options options)
        : builder(first_place, rows, options) {}
    detail::BatchBuilder builder;
    Batch batch;
    bool ready = false;
    std::exception_ptr error;
  };
  struct Task {
    std::shared_ptr<Slot> slot;
    std::int64_t begin = 0;
    std::int64_t end = 0;
  };
  struct Scratch {
    ImageTransform::Workspace work;
    std::shared_ptr<detail::DecodedSample> sample;
  };

  void check() const {
    TORCH_CHECK(source_ != nullptr, "DataLoader: no source given");
    TORCH_CHECK(o_.batch_size > 0, "DataLoader: batch_size (", o_.batch_size, ") must be positive");
    TORCH_CHECK(o_.threads > 0, "DataLoader: threads (", o_.threads, ") must be positive");
    TORCH_CHECK(o_.views > 0, "DataLoader: views (", o_.views, ") must be positive");
    TORCH_CHECK(o_.views == 1 || o_.train, "DataLoader: ", o_.views,
                " views of an image are for training; for evaluation all are equal, so set views "
                "to 1");
    TORCH_CHECK(o_.max_queued_batches > 0, "DataLoader: max_queued_batches (",
                o_.max_queued_batches, ") must be positive");
    TORCH_CHECK(0.0 <= o_.max_unusable_fraction && o_.max_unusable_fraction <= 1.0,
                "DataLoader: max_unusable_fraction (", o_.max_unusable_fraction,
                ") must be from 0 to 1");
    TORCH_CHECK(source_->size() > 0, "DataLoader: the source holds no sample");
    TORCH_CHECK(batches_per_epoch() > 0, "DataLoader: ", source_->size(),
                " samples do not fill one batch of ", o_.batch_size, " on ", o_.ranks.size(),
                " ranks; lower batch_size to at most ", source_->size() / o_.ranks.size());
  }

  /// Samples in one batch of all ranks.
  [[nodiscard]] std::int64_t samples_together() const { return o_.batch_size * o_.ranks.size(); }

  [[nodiscard]] std::int64_t batches_from(std::int64_t first_sample) const {
    const std::int64_t left = source_->size() - first_sample;
    const std::int64_t together = samples_together();
    return o_.train ? left / together : (left + together - 1) / together;
  }

  void join_workers() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    work_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  void work() {
    Scratch scratch;
    std::unique_lock lock(mutex_);
    for (;;) {
      Task task;
      work_.wait(lock, [&] { return stopping_ || take(task); });
      if (stopping_) return;
      ++busy_;
      lock.unlock();
      std::exception_ptr error;
      bool complete = false;
      try {
        detail::BatchBuilder& builder = task.slot->builder;
        for (std::int64_t row = task.begin; row < task.end; ++row) fill(builder, row, scratch);
        complete = builder.complete(task.end - task.begin);
        if (complete) task.slot->batch = finish(builder);
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      skips_.add_used(task.end - task.begin);
      if (error) error_ = task.slot->error = error;
      if (complete && !error) task.slot->ready = true;
      if (--busy_ == 0) idle_.notify_all();
      if (error || complete) ready_.notify_all();
    }
  }

  /// Takes some rows of the batch in preparation, or begins another; false when there is nothing to
  /// do now. The lock is held. Small tasks, so that a batch is ready soon after its first row.
  [[nodiscard]] bool take(Task& task) {
    if (error_) return false;
    if (next_row_ == 0) {
      const bool full = static_cast<std::int64_t>(queue_.size()) >= o_.max_queued_batches;
      if (full || next_to_build_ >= batches_) return false;
      try {
        queue_.push_back(make_slot(next_to_build_));
      } catch (...) {  // no memory
        error_ = std::current_exception();
        ready_.notify_all();
        return false;
      }
    }
    const auto& slot = queue_.back();
    const std::int64_t rows = slot->builder.rows();
    const std::int64_t few = std::clamp<std::int64_t>(rows / (4 * o_.threads), 1, 32);
    task = {slot, next_row_, std::min(next_row_ + few, rows)};
    next_row_ = task.end;
    if (next_row_ == rows) {
      next_row_ = 0;
      ++next_to_build_;
    }
    return true;
  }

  [[nodiscard]] std::shared_ptr<Slot> make_slot(std::int64_t batch) const {
    const std::int64_t first = first_sample_ + batch * samples_together();
    const std::int64_t left = std::min(samples_together(), source_->size() - first);
    const std::int64_t begin = left * o_.ranks.rank() / o_.ranks.size();
    const std::int64_t end = left * (o_.ranks.rank() + 1) / o_.ranks.size();
    return std::make_shared<Slot>(
        first + begin, end - begin,
        detail::BatchBuilder::Options{transform_.options().image_size, o_.views, o_.pad_text_to,
                                      static_cast<bool>(tokenize_), pinned_, o_.channels_last});
  }

  void fill(detail::BatchBuilder& builder, std::int64_t row, Scratch& scratch) {
    const std::int64_t size = order_->size();
    const std::int64_t attempts = o_.train ? std::min(size, kMostAttempts) : 1;
    std::string reason;
    for (std::int64_t attempt = 0; attempt < attempts; ++attempt) {
      const std::int64_t index =
          (*order_)(detail::substitute_place(builder.first_place() + row, attempt, size));
      try {
        fill_with(builder, row, index, scratch);
        return;
      } catch (const DataError& error) {
        reason = error.what();
        note_skip({index, reason});
      }
    }
    TORCH_CHECK(!o_.train, "DataLoader: ", attempts,
                " samples in a row could not be used; the last one: ", reason);
  }

  void fill_with(detail::BatchBuilder& builder, std::int64_t row, std::int64_t index,
                 Scratch& scratch) {
    const auto sample = reader_.read(index, scratch.sample);
    if (tokenize_ && sample->captions.empty())
      throw DataError(sample->source + ": " + sample->key + ": no caption");
    RandomStream random = stream(index, 0);
    std::vector<std::int64_t> tokens;
    if (tokenize_) {
      const auto captions = static_cast<std::int64_t>(sample->captions.size());
      const std::int64_t chosen = o_.train ? random.integer(captions) : 0;
      tokens = tokenize_(sample->captions[static_cast<std::size_t>(chosen)]);
    }
    for (std::int64_t view = 0; view < o_.views; ++view) {
      if (view > 0) random = stream(index, view);
      transform_(sample->image, random, scratch.work);
      builder.set_view(row, view, scratch.work.square);
    }
    builder.set_row(row, std::move(tokens), sample->label, sample->key);
  }

  /// Random numbers of one view of a sample in this epoch. The first view draws the same ones
  /// whatever the number of views is.
  [[nodiscard]] RandomStream stream(std::int64_t index, std::int64_t view) const {
    return RandomStream(o_.seed, static_cast<std::uint64_t>(epoch_),
                        static_cast<std::uint64_t>(index) +
                            static_cast<std::uint64_t>(view) * kViewStreams + kSampleStreams);
  }

  [[nodiscard]] Batch finish(detail::BatchBuilder& builder) const {
    Batch batch = builder.finish();
    TORCH_CHECK(batch.size() > 0 || builder.rows() == 0, "DataLoader: none of the ", builder.rows(),
                " samples of a batch could be used; see statistics()");
    return batch;
  }

  void note_skip(SkippedSample sample) {
    sample.reason = detail::printable(sample.reason);
    const std::lock_guard lock(mutex_);
    const bool is_new = skips_.add_failed(sample.index, sample.reason);
    if (is_new && o_.on_skip) skipped_.push_back(std::move(sample));
  }

  /// Keeps the streams of samples apart from those that EpochOrder draws from.
  static constexpr std::uint64_t kSampleStreams = std::uint64_t{1} << 62;
  /// More than any source has samples.
  static constexpr std::uint64_t kViewStreams = std::uint64_t{1} << 48;

  std::shared_ptr<const SampleSource> source_;
  ImageTransform transform_;
  Tokenize tokenize_;
  LoaderOptions o_;
  detail::SampleReader reader_;
  bool pinned_;

  mutable std::mutex mutex_;  // guards what follows; order_ and epoch_ only change while busy_ == 0
  std::condition_variable work_;   // something to prepare
  std::condition_variable ready_;  // a batch or an error for next()
  std::condition_variable idle_;   // no thread is preparing
  std::int64_t epoch_ = 0;
  std::optional<EpochOrder> order_;
  std::int64_t first_sample_ = 0;            // place in the epoch at which batch 0 begins
  std::int64_t batches_ = 0;                 // where the epoch ends
  std::int64_t next_to_build_ = 0;           // batch whose rows are handed out next
  std::int64_t next_row_ = 0;                // first row of it not handed out
  std::int64_t next_to_give_ = 0;            // batch that next() returns
  std::deque<std::shared_ptr<Slot>> queue_;  // next_to_give_, ... in order
  std::int64_t busy_ = 0;
  bool stopping_ = false;
  std::exception_ptr error_;            // the latest; stops the preparation of further batches
  std::vector<SkippedSample> skipped_;  // not yet told to on_skip
  detail::SkipCounter skips_;
  LoaderStatistics statistics_;

  std::vector<std::thread> workers_;
};
static_assert(Loader<DataLoader>);

}  // namespace contrapunto
