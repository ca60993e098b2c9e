// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/Context.h>
#include <c10/util/Exception.h>
#include <c10/util/ScopeExit.h>

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
#include <thread>
#include <utility>
#include <vector>

#include "contrapunto/core/batch.hpp"
#include "contrapunto/core/concepts.hpp"
#include "contrapunto/core/data_error.hpp"
#include "contrapunto/core/random.hpp"
#include "contrapunto/core/state.hpp"
#include "contrapunto/data/detail/batch_builder.hpp"
#include "contrapunto/data/detail/batch_places.hpp"
#include "contrapunto/data/detail/batch_slot.hpp"
#include "contrapunto/data/detail/check_loader.hpp"
#include "contrapunto/data/detail/choose_caption.hpp"
#include "contrapunto/data/detail/group_reader.hpp"
#include "contrapunto/data/detail/lap_timer.hpp"
#include "contrapunto/data/detail/loader_tensors.hpp"
#include "contrapunto/data/detail/printable.hpp"
#include "contrapunto/data/detail/reading_clock.hpp"
#include "contrapunto/data/detail/report_stall.hpp"
#include "contrapunto/data/detail/sample_order.hpp"
#include "contrapunto/data/detail/sample_reader.hpp"
#include "contrapunto/data/detail/sample_stream.hpp"
#include "contrapunto/data/detail/skip_counter.hpp"
#include "contrapunto/data/detail/start_threads.hpp"
#include "contrapunto/data/detail/stored_views.hpp"
#include "contrapunto/data/detail/substitute_place.hpp"
#include "contrapunto/data/detail/view_maker.hpp"
#include "contrapunto/data/loader_options.hpp"
#include "contrapunto/data/loader_statistics.hpp"
#include "contrapunto/data/sample_source.hpp"
#include "contrapunto/data/teacher_store.hpp"
#include "contrapunto/data/text_reading.hpp"
#include "contrapunto/image/image_transform.hpp"
#include "contrapunto/log/data_times.hpp"

namespace contrapunto {

/// Loads batches of image-text pairs, which threads of this process prepare ahead.
///
/// A batch holds "image" uint8 [B, 3, S, S], and with several views "image2" and so on; "text"
/// int64 [B, L], padded with 0, if there is a tokenize function; "label" int64 [B], with -1 for a
/// sample without one, if any sample has one; the tensors of further readings and of teacher
/// stores, if any; and the keys. The images are on the host unless LoaderOptions::augment_device
/// says otherwise. An epoch is a sequence of samples, which is a pure function of the
/// source, the seed and the epoch. Batches are consecutive parts of it, and the rows of a batch are
/// divided among the ranks. By default an epoch visits every sample once; see LoaderOptions and
/// SampleSource::parts() for other mixtures. The content of a batch therefore depends neither on
/// the number of threads nor on where a run was interrupted. A run may resume at any sample with
/// another batch size or number of ranks.
///
/// In training there are floor(samples / (batch_size * ranks)) batches per epoch on every rank. A
/// sample that cannot be used is replaced by another one, so batches keep their size; see
/// detail::substitute_place. In evaluation there are batches until each usable sample was returned
/// once. The last batch is smaller, and with several ranks some may get no row of it. Empty and
/// blank captions are ignored.
///
///     DataLoader loader(source, ImageTransform({.train = true}), tokenize, {.batch_size = 512});
///     for (loader.start_epoch(3); auto batch = loader.next();) step(*batch);
class DataLoader {
 public:
  /// Returns the token ids of a text, including the special tokens and at most as many as the
  /// context. Many threads call it at once.
  using Tokenize = std::function<std::vector<std::int64_t>(std::string_view)>;

  /// `tokenize` may be empty: batches then have no text, and captions are not needed. Raises if an
  /// option is out of range, if the source is null or empty, if the data does not fill one batch
  /// per rank, if a store of teacher embeddings does not fit the source and the transform, and if
  /// the threads cannot be started.
  DataLoader(std::shared_ptr<const SampleSource> source, const ImageTransform& transform,
             Tokenize tokenize, LoaderOptions options = {})
      : source_(std::move(source)),
        transform_(transform),
        tokenize_(std::move(tokenize)),
        o_(std::move(options)),
        order_(detail::checked_order(o_, source_.get(), transform_.options())),
        stored_(o_, *source_, transform_.options()),
        reader_(source_, o_.max_pixels, o_.cache_decoded ? o_.cache_bytes : 0,
                {.checksum = !stored_.stores().empty()}),
        views_(transform_, o_),
        tensors_(detail::loader_tensors(views_.transforms(), o_, tokenize_ != nullptr,
                                        stored_.tensors())),
        places_(o_, order_.size()),
        skips_(source_->size(), o_.max_unusable_fraction) {
    if (o_.read_ahead.enabled()) {
      const std::int64_t lanes = o_.read_ahead.lanes / o_.ranks.size();
      const auto parts = std::max<std::size_t>(source_->parts().size(), 1);
      ahead_ = std::make_unique<detail::GroupReader>(source_,
                                                     2 * static_cast<std::size_t>(lanes) * parts,
                                                     std::min<std::int64_t>(lanes, 8), reading_);
    }
    detail::start_threads(
        workers_, o_.threads, [this] { work(); }, [this] { join_workers(); });
  }

  DataLoader(const DataLoader&) = delete;
  DataLoader& operator=(const DataLoader&) = delete;

  /// Stops and joins the threads, even in the middle of an epoch.
  ~DataLoader() { join_workers(); }

  /// Number of batches in a whole epoch, the same on every rank.
  [[nodiscard]] std::int64_t batches_per_epoch() const { return places_.batches_from(0); }

  /// Number of samples in an epoch, over all ranks.
  [[nodiscard]] std::int64_t samples_per_epoch() const { return order_.size(); }

  /// Returns a line for each part of the source that says how often an epoch visits its samples;
  /// nothing if an epoch visits each sample once.
  [[nodiscard]] std::vector<std::string> describe_epoch() const { return order_.describe(); }

  /// The epoch that was started last.
  [[nodiscard]] std::int64_t epoch() const {
    const std::lock_guard lock(mutex_);
    return epoch_;
  }

  /// Starts epoch `epoch` at sample number `first_sample`, counted over all ranks, from 0 to the
  /// number of samples in an epoch. Batches that were prepared before are discarded. Raises for a
  /// negative epoch and for a `first_sample` out of range.
  void start_epoch(std::int64_t epoch, std::int64_t first_sample = 0) {
    TORCH_CHECK(epoch >= 0, "DataLoader: epoch (", epoch, ") must not be negative");
    TORCH_CHECK(0 <= first_sample && first_sample <= samples_per_epoch(),
                "DataLoader: first_sample (", first_sample,
                ") must be from 0 to the number of samples in an epoch (", samples_per_epoch(),
                "); a position in an epoch is valid only for the data it was saved with");
    std::unique_lock lock(mutex_);
    stop_preparing(lock);
    epoch_ = epoch;
    started_ = true;
    order_.start(o_.seed, epoch);
    source_->will_visit(order_.shard_order(), o_.shuffle_window);
    places_.start(first_sample);
    skips_.start_epoch();
    next_to_build_ = 0;
    next_to_give_ = 0;
    batches_ = places_.batches_from(first_sample);
    if (ahead_)
      ahead_->start(order_, first_sample + o_.ranks.rank(), o_.ranks.size(),
                    places_.begin_of(batches_));
    work_.notify_all();
  }

  /// Makes other batches from the next one on, for a phase of a training: with another transform,
  /// tokenize function, `batch_size` and `pad_text_to`. The epoch continues at the sample after
  /// those that were returned; batches that were prepared before are discarded. Raises as the
  /// constructor does.
  void change(const ImageTransform& transform, Tokenize tokenize, std::int64_t batch_size,
              std::int64_t pad_text_to = 0) {
    std::unique_lock lock(mutex_);
    const std::int64_t given = samples_given();
    stop_preparing(lock);
    o_.batch_size = batch_size;
    o_.pad_text_to = pad_text_to;
    detail::check_loader(o_, source_.get(), transform.options());
    for (const auto& store : stored_.stores()) store->require_views_of(transform.options());
    transform_ = transform;
    tokenize_ = std::move(tokenize);
    views_ = detail::ViewMaker(transform_, o_);
    tensors_ =
        detail::loader_tensors(views_.transforms(), o_, tokenize_ != nullptr, stored_.tensors());
    places_ = detail::BatchPlaces(o_, order_.size());
    lock.unlock();
    if (started_) start_epoch(epoch_, given);
  }

  /// Saves `epoch` and `samples`, the number of samples that next() has returned since the start of
  /// the epoch, over all ranks. Batches that are prepared but not returned do not count.
  [[nodiscard]] State save_state() const {
    const std::lock_guard lock(mutex_);
    State state;
    state.scalars = {{"epoch", epoch_}, {"samples", samples_given()}};
    state.scalars["epoch_samples"] = samples_per_epoch();
    stored_.save_to(state);
    return state;
  }

  /// Resumes the epoch of `state` at the sample after those that were returned. Raises if its
  /// epochs have another number of samples, and if both the state and this loader have stored views
  /// and they are not the same.
  void load_state(const State& state) {
    stored_.check(state);
    if (state.scalars.count("epoch_samples") > 0) {
      const auto saved = state.scalar<std::int64_t>("epoch_samples");
      TORCH_CHECK(saved == samples_per_epoch(),
                  "DataLoader: the checkpoint was made with epochs of ", saved,
                  " samples, and this run has epochs of ", samples_per_epoch(),
                  "; resume with the same data, or start another run");
    }
    start_epoch(state.scalar<std::int64_t>("epoch"), state.scalar<std::int64_t>("samples"));
  }

  /// Returns the next batch, or nothing at the end of the epoch. Rethrows the error of a thread,
  /// such as an error in the tokenize function or a lack of usable samples.
  [[nodiscard]] std::optional<Batch> next() {
    std::unique_lock lock(mutex_);
    TORCH_CHECK(started_, "DataLoader: call start_epoch() before next()");
    if (next_to_give_ >= batches_) return std::nullopt;
    detail::LapTimer timer;
    // An error in a later batch is raised when that batch is due. Rows are handed out in order, so
    // all earlier batches are completed.
    const auto is_due = [&] {
      return queue_.empty() ? error_ != nullptr : queue_.front()->ready || queue_.front()->error;
    };
    const std::chrono::duration<double> patience(o_.stall_seconds);
    if (o_.stall_seconds <= 0.0) ready_.wait(lock, is_due);
    for (double waited = 0.0; !ready_.wait_for(lock, patience, is_due);) {
      waited += o_.stall_seconds;
      lock.unlock();
      detail::report_stall(o_, waited, reading_, *source_);
      lock.lock();
    }
    timer.add_to(statistics_.times.wait);
    const bool is_ready = !queue_.empty() && queue_.front()->ready;
    std::optional<Batch> batch;
    std::shared_ptr<Slot> slot;
    if (is_ready) {
      slot = std::move(queue_.front());
      batch = std::move(slot->batch);
      queue_.pop_front();
      ++next_to_give_;
      ++statistics_.batches;
      statistics_.samples += std::ssize(batch->keys);
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
    if (slot && o_.augment_device) slot->builder.add_augmented_images(*batch, *o_.augment_device);
    return batch;
  }

  /// Returns the statistics since the creation of the loader. Any thread may call it.
  [[nodiscard]] LoaderStatistics statistics() const {
    const std::lock_guard lock(mutex_);
    LoaderStatistics now = statistics_;
    now.skipped = skips_.report().skipped;
    now.first_skipped = skips_.report().first;
    return now;
  }

  [[nodiscard]] const LoaderOptions& options() const { return o_; }
  [[nodiscard]] const SampleSource& source() const { return *source_; }

  /// The stores of LoaderOptions::teacher_stores.
  [[nodiscard]] const std::vector<std::shared_ptr<const TeacherStore>>& teacher_stores() const {
    return stored_.stores();
  }

 private:
  /// Number of unusable samples in a row after which the loader gives up.
  static constexpr std::int64_t kMostAttempts = 1000;

  using Slot = detail::BatchSlot;
  struct Task {
    std::shared_ptr<Slot> slot;
    std::int64_t begin = 0;
    std::int64_t end = 0;
  };
  struct Scratch {
    detail::ReadingWorkspace reading;
    detail::ViewMaker::Workspace views;
  };

  /// Number of samples of the epoch that were returned, over all ranks. Call it with the lock held.
  [[nodiscard]] std::int64_t samples_given() const {
    return std::min(places_.begin_of(next_to_give_), samples_per_epoch());
  }

  /// Discards what is prepared and waits until no thread prepares anything.
  void stop_preparing(std::unique_lock<std::mutex>& lock) {
    batches_ = 0;  // Keeps the threads from starting another batch.
    next_row_ = 0;
    idle_.wait(lock, [&] { return busy_ == 0; });
    queue_.clear();
    error_ = nullptr;
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
      detail::BatchBuilder& builder = task.slot->builder;
      std::int64_t row = task.begin;
      try {
        while (row < task.end) fill(builder, row++, scratch);
        complete = builder.complete(task.end - task.begin);
        if (complete) task.slot->batch = finish(builder);
      } catch (...) {
        error = std::current_exception();
        // Other threads wait until the rest of a group is released.
        for (; ahead_ && row < task.end; ++row) ahead_->release(position_of(builder, row));
      }
      lock.lock();
      skips_.add_used(task.end - task.begin);
      statistics_.times += std::exchange(scratch.reading.times, {});
      if (error) error_ = task.slot->error = error;
      if (complete && !error) task.slot->ready = true;
      if (--busy_ == 0) idle_.notify_all();
      if (error || complete) ready_.notify_all();
    }
  }

  /// Takes some rows of the batch in preparation, or starts another batch. Returns false if there
  /// is nothing to do now. Call it with the lock held. The tasks are small, so that a batch is
  /// ready soon after its first row.
  [[nodiscard]] bool take(Task& task) {
    if (error_) return false;
    if (next_row_ == 0) {
      const bool full = static_cast<std::int64_t>(queue_.size()) >= o_.max_queued_batches;
      if (full || next_to_build_ >= batches_) return false;
      try {
        queue_.push_back(make_slot(next_to_build_));
      } catch (...) {  // Out of memory.
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

  [[nodiscard]] std::int64_t position_of(const detail::BatchBuilder& builder,
                                         std::int64_t row) const {
    return builder.first_place() + row * places_.stride();
  }

  [[nodiscard]] std::shared_ptr<Slot> make_slot(std::int64_t batch) const {
    const auto rows = places_.rows_of(batch);
    return std::make_shared<Slot>(rows.first, rows.count, tensors_);
  }

  void fill(detail::BatchBuilder& builder, std::int64_t row, Scratch& scratch) {
    const std::int64_t size = samples_per_epoch();
    const std::int64_t position = position_of(builder, row);
    const std::int64_t attempts = o_.train ? std::min(size, kMostAttempts) : 1;
    std::string reason;
    for (std::int64_t attempt = 0; attempt < attempts; ++attempt) {
      const auto visit = order_(detail::substitute_place(position, attempt, size));
      const bool is_ahead = ahead_ && attempt == 0;
      const auto released = c10::make_scope_exit([&] {
        if (is_ahead) ahead_->release(position);
      });
      try {
        fill_with(builder, row, visit, is_ahead ? position : -1, scratch);
        return;
      } catch (const DataError& error) {
        reason = error.what();
        note_skip({visit.index, reason});
      }
    }
    TORCH_CHECK(!o_.train, "DataLoader: ", attempts,
                " samples in a row could not be used; the last one: ", reason);
  }

  /// `ahead` is the position of a sample that is read ahead, or -1.
  void fill_with(detail::BatchBuilder& builder, std::int64_t row,
                 const detail::SampleOrder::Visit& visit, std::int64_t ahead, Scratch& scratch) {
    const std::int64_t index = visit.index;
    stored_.require_usable(index);
    const auto fetch = [&] {
      if (ahead >= 0) return ahead_->take(ahead);
      const auto timed = reading_.reading(index);
      return source_->read(index);
    };
    DataTimes& times = scratch.reading.times;
    const auto sample = reader_.read(index, fetch, scratch.reading);
    const bool needs_caption = tokenize_ || stored_.has_texts();
    if (needs_caption && sample->captions.empty())
      throw DataError(sample->source + ": " + sample->key + ": no caption");
    detail::LapTimer timer;
    RandomStream random = detail::sample_stream(o_.seed, visit, 0);
    std::vector<std::vector<std::int64_t>> tokens;
    std::int64_t chosen = 0;
    if (needs_caption && o_.train)
      chosen = detail::choose_caption(sample->captions.size(), sample->caption_weights, random);
    if (tokenize_) {
      const std::string& caption = sample->captions[static_cast<std::size_t>(chosen)];
      tokens.push_back(tokenize_(caption));
      for (const TextReading& reading : o_.text_readings)
        tokens.push_back(reading.tokenize(caption));
    }
    timer.add_to(times.tokenize);
    stored_.set_features(builder, row, visit.pass, index, *sample, chosen, random);
    const auto stream_of = [&](std::int64_t view) {
      return detail::sample_stream(o_.seed, visit, view);
    };
    views_.draw(sample->region, random, stream_of, scratch.views);
    timer.add_to(times.transform);
    const auto needed = views_.needed(sample->region, scratch.views);
    reader_.decode(sample, needed.box, needed.reduction, scratch.reading);
    timer.add_to(times.decode);
    views_.apply(*sample, builder, row, scratch.views);
    timer.add_to(times.transform);
    builder.set_row(row, std::move(tokens), sample->label, sample->key);
  }

  [[nodiscard]] Batch finish(detail::BatchBuilder& builder) const {
    Batch batch = builder.finish();
    TORCH_CHECK(!batch.keys.empty() || builder.rows() == 0 || o_.max_unusable_fraction >= 1.0,
                "DataLoader: none of the ", builder.rows(), " samples of a batch could be used");
    return batch;
  }

  void note_skip(SkippedSample sample) {
    sample.reason = detail::printable(sample.reason);
    const std::lock_guard lock(mutex_);
    const bool is_new = skips_.add_failed(sample.index, sample.reason);
    if (is_new && o_.on_skip) skipped_.push_back(std::move(sample));
  }

  std::shared_ptr<const SampleSource> source_;
  ImageTransform transform_;
  Tokenize tokenize_;
  LoaderOptions o_;
  detail::SampleOrder order_;  // Changes only while busy_ == 0, as epoch_ does.
  detail::StoredViews stored_;
  detail::SampleReader reader_;
  detail::ViewMaker views_;
  detail::BatchBuilder::Options tensors_;
  detail::BatchPlaces places_;

  detail::ReadingClock reading_;
  std::unique_ptr<detail::GroupReader> ahead_;  // If options ask for it.

  // Guards the following members.
  mutable std::mutex mutex_;
  std::condition_variable work_;   // There is something to prepare.
  std::condition_variable ready_;  // There is a batch or an error for next().
  std::condition_variable idle_;   // No thread is preparing anything.
  std::int64_t epoch_ = 0;
  bool started_ = false;
  std::int64_t batches_ = 0;                 // Number of batches until the end of the epoch.
  std::int64_t next_to_build_ = 0;           // Batch whose rows are handed out next.
  std::int64_t next_row_ = 0;                // Its first row that is not handed out.
  std::int64_t next_to_give_ = 0;            // Batch that next() returns.
  std::deque<std::shared_ptr<Slot>> queue_;  // Batches from next_to_give_ on, in order.
  std::int64_t busy_ = 0;
  bool stopping_ = false;
  std::exception_ptr error_;            // The latest error; it stops the preparation.
  std::vector<SkippedSample> skipped_;  // Not yet reported to on_skip.
  detail::SkipCounter skips_;
  LoaderStatistics statistics_;

  std::vector<std::thread> workers_;
};
static_assert(Loader<DataLoader>);

}  // namespace contrapunto
