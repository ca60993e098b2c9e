// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "contrapunto/core/random.hpp"

namespace contrapunto {

struct EpochOrderOptions {
  bool shuffle = true;  ///< Off: the order of the source.
  /// Shards that are shuffled together; 0: all.
  std::int64_t window = 32;
  /// Consecutive samples of a shard that are read together; 0: shards are not divided. Otherwise
  /// the pieces of a window of shards are shuffled, and then the samples of a few pieces.
  std::int64_t piece_samples = 0;
  std::int64_t pieces_together = 8;  ///< Pieces whose samples are shuffled together.
  /// Parts of equal size into which the pieces are divided. Consecutive positions of the epoch
  /// belong to consecutive lanes, so ranks that take every n-th position read pieces of their own.
  std::int64_t lanes = 1;
  /// Draw shards with replacement, as many as `samples` needs.
  bool with_replacement = false;
  std::int64_t samples = 0;  ///< Size of an epoch with replacement.
  std::int64_t part = 0;     ///< Gives the parts of a mixture different orders.

  /// Raises for values out of range.
  void check() const {
    TORCH_CHECK(window >= 0, "EpochOrder: window (", window, ") must not be negative");
    TORCH_CHECK(piece_samples >= 0, "EpochOrder: piece_samples (", piece_samples,
                ") must not be negative");
    TORCH_CHECK(pieces_together > 0, "EpochOrder: pieces_together (", pieces_together,
                ") must be positive");
    TORCH_CHECK(lanes > 0, "EpochOrder: lanes (", lanes, ") must be positive");
    TORCH_CHECK(lanes == 1 || (shuffle && piece_samples > 0), "EpochOrder: ", lanes,
                " lanes are for shuffled pieces of shards; set piece_samples");
    TORCH_CHECK(samples >= 0, "EpochOrder: samples (", samples, ") must not be negative");
  }
};

/// The order in which an epoch visits the samples: a pure function of (shard sizes, options, seed,
/// epoch), evaluated one position at a time.
///
/// Shards are shuffled and divided into windows of several shards. The samples of a window are
/// shuffled, or, if shards are divided into pieces, the pieces of the window and then the samples
/// of `pieces_together` pieces. Every sample occurs once, unless shards are drawn with replacement.
/// What is shuffled together is a group: its samples can be read in long pieces before they are
/// visited.
class EpochOrder {
 public:
  /// Where a position of the epoch is.
  struct Place {
    std::int64_t group = 0;       ///< Number of the group.
    std::int64_t at = 0;          ///< Position in the group.
    std::int64_t group_size = 0;  ///< Samples of the group.
  };
  /// A sample, and the number of the draw of its shard, which is 0 without replacement.
  struct Visit {
    std::int64_t index = 0, draw = 0;
  };

  /// Raises for options out of range, and if shards are drawn with replacement although all are
  /// empty.
  EpochOrder(const std::vector<std::int64_t>& shard_sizes, const EpochOrderOptions& options,
             std::uint64_t seed, std::int64_t epoch)
      : o_(options) {
    o_.check();
    const auto shards = static_cast<std::int64_t>(shard_sizes.size());
    std::vector<std::int64_t> first_sample(shard_sizes.size());
    for (std::size_t i = 1; i < shard_sizes.size(); ++i)
      first_sample[i] = first_sample[i - 1] + shard_sizes[i - 1];

    const auto era = static_cast<std::uint64_t>(epoch);
    const auto base = static_cast<std::uint64_t>(o_.part) << 44;
    const std::int64_t window =
        o_.window == 0 || !o_.shuffle ? std::max<std::int64_t>(shards, 1) : o_.window;
    std::vector<std::int64_t> window_begin;  // Numbers of segments.
    const auto add_shard = [&](std::int64_t number, std::size_t shard) {
      shard_order_.push_back(static_cast<std::int64_t>(shard));
      if (number % window == 0) window_begin.push_back(std::ssize(segment_begin_));
      add_segments(first_sample[shard], shard_sizes[shard], number);
    };
    if (o_.with_replacement && o_.samples > 0) {
      TORCH_CHECK(std::any_of(shard_sizes.begin(), shard_sizes.end(), [](auto n) { return n > 0; }),
                  "EpochOrder: no shard has a sample");
      RandomStream random(seed, era, base);
      for (std::int64_t draw = 0; size_ < o_.samples; ++draw)
        add_shard(draw, static_cast<std::size_t>(random.integer(shards)));
    } else {
      const Permutation shard_order(shards, seed, era, base);
      for (std::int64_t i = 0; i < shards; ++i)
        add_shard(i, static_cast<std::size_t>(o_.shuffle ? shard_order(i) : i));
    }
    window_begin.push_back(std::ssize(segment_begin_));
    if (has_pieces())
      for (std::size_t w = 0; w + 1 < window_begin.size(); ++w)
        shuffle_segments(window_begin[w], window_begin[w + 1],
                         {window_begin[w + 1] - window_begin[w], seed, era,
                          base + kPieceStreams + static_cast<std::uint64_t>(w)});
    if (o_.with_replacement) size_ = o_.samples;
    divide_into_groups(window_begin);
    for (std::size_t g = 0; o_.shuffle && g < group_begin_.size(); ++g)
      permutations_.emplace_back(
          group_end(g) - group_begin_[g], seed, era,
          base + (has_pieces() ? kGroupStreams : 1) + static_cast<std::uint64_t>(g));
  }

  /// Number of samples in an epoch, and number of those in a lane.
  [[nodiscard]] std::int64_t size() const { return size_; }
  [[nodiscard]] std::int64_t lane_size(std::int64_t lane) const {
    return (size_ - lane + o_.lanes - 1) / o_.lanes;
  }

  /// The numbers of the shards in the order in which they are visited.
  [[nodiscard]] const std::vector<std::int64_t>& shard_order() const { return shard_order_; }

  /// Returns the sample at position `position`, 0 <= position < size().
  [[nodiscard]] std::int64_t operator()(std::int64_t position) const {
    return visit(locate(position % o_.lanes, position / o_.lanes)).index;
  }

  /// Returns where position `at` of a lane is, 0 <= at < lane_size(lane).
  [[nodiscard]] Place locate(std::int64_t lane, std::int64_t at) const {
    const std::int64_t position = lane_begin(lane) + at;
    const std::size_t g = last_at_most(group_begin_, position);
    return {static_cast<std::int64_t>(g), position - group_begin_[g],
            group_end(g) - group_begin_[g]};
  }

  /// Returns the sample at `place`.
  [[nodiscard]] Visit visit(const Place& place) const {
    const auto g = static_cast<std::size_t>(place.group);
    const std::int64_t position =
        group_begin_[g] + (permutations_.empty() ? place.at : permutations_[g](place.at));
    const std::size_t segment = last_at_most(segment_begin_, position);
    return {segment_first_sample_[segment] + position - segment_begin_[segment],
            o_.with_replacement ? segment_draw_[segment] : 0};
  }

 private:
  // Numbers of the random streams; those from 1 on are groups without pieces.
  static constexpr std::uint64_t kPieceStreams = std::uint64_t{1} << 42;
  static constexpr std::uint64_t kGroupStreams = std::uint64_t{1} << 43;

  [[nodiscard]] bool has_pieces() const { return o_.shuffle && o_.piece_samples > 0; }

  /// Returns the index of the last value <= `wanted` in the ascending `values`, whose first value
  /// is 0.
  static std::size_t last_at_most(const std::vector<std::int64_t>& values, std::int64_t wanted) {
    const auto after = std::upper_bound(values.begin(), values.end(), wanted);
    return static_cast<std::size_t>(after - values.begin()) - 1;
  }

  [[nodiscard]] std::int64_t group_end(std::size_t g) const {
    return g + 1 < group_begin_.size() ? group_begin_[g + 1] : size_;
  }

  /// The first `size_ % lanes` lanes have one sample more than the others.
  [[nodiscard]] std::int64_t lane_begin(std::int64_t lane) const {
    return lane * (size_ / o_.lanes) + std::min(lane, size_ % o_.lanes);
  }

  /// Adds the samples of a shard, in pieces if there are any.
  void add_segments(std::int64_t first_sample, std::int64_t samples, std::int64_t draw) {
    const std::int64_t piece = has_pieces() ? o_.piece_samples : std::max<std::int64_t>(samples, 1);
    std::int64_t done = 0;
    do {
      segment_begin_.push_back(size_);
      segment_first_sample_.push_back(first_sample + done);
      if (o_.with_replacement) segment_draw_.push_back(draw);
      const std::int64_t next = std::min(piece, samples - done);
      size_ += next;
      done += next;
    } while (done < samples);
  }

  /// Puts the segments from `first` to `last` into the order of `permutation`.
  void shuffle_segments(std::int64_t first, std::int64_t last, const Permutation& permutation) {
    const auto part = [&](const std::vector<std::int64_t>& all) {
      return std::vector<std::int64_t>(all.begin() + first, all.begin() + last);
    };
    const auto first_samples = part(segment_first_sample_);
    const auto begins = part(segment_begin_);
    const auto draws = o_.with_replacement ? part(segment_draw_) : std::vector<std::int64_t>();
    const std::int64_t end =
        last < std::ssize(segment_begin_) ? segment_begin_[static_cast<std::size_t>(last)] : size_;
    std::int64_t position = begins.empty() ? 0 : begins.front();
    for (std::int64_t i = first; i < last; ++i) {
      const auto to = static_cast<std::size_t>(i);
      const auto from = static_cast<std::size_t>(permutation(i - first));
      segment_begin_[to] = position;
      segment_first_sample_[to] = first_samples[from];
      if (o_.with_replacement) segment_draw_[to] = draws[from];
      position += (from + 1 < begins.size() ? begins[from + 1] : end) - begins[from];
    }
  }

  /// A group ends with its window of shards, or after `pieces_together` pieces or a lane.
  void divide_into_groups(const std::vector<std::int64_t>& window_begin) {
    if (!has_pieces()) {
      for (std::size_t w = 0; w + 1 < window_begin.size(); ++w) {
        const std::int64_t begin = segment_begin_[static_cast<std::size_t>(window_begin[w])];
        if (begin < size_) group_begin_.push_back(begin);
      }
      return;
    }
    for (std::int64_t lane = 0; lane < o_.lanes; ++lane) {
      const std::int64_t begin = lane_begin(lane);
      const std::int64_t end = lane_begin(lane + 1);
      if (begin == end) continue;
      group_begin_.push_back(begin);
      std::int64_t pieces = 0;
      for (std::size_t s = last_at_most(segment_begin_, begin) + 1;
           s < segment_begin_.size() && segment_begin_[s] < end; ++s)
        if (++pieces % o_.pieces_together == 0) group_begin_.push_back(segment_begin_[s]);
    }
  }

  EpochOrderOptions o_;
  std::int64_t size_ = 0;
  std::vector<std::int64_t> shard_order_;
  std::vector<std::int64_t> group_begin_;  // Positions; lanes follow each other.
  std::vector<Permutation> permutations_;  // Of the samples of each group; empty: no shuffle.
  // Segments are shards or pieces of shards. These are positions of the sequence of segments, in
  // which the samples of a segment are consecutive.
  std::vector<std::int64_t> segment_begin_;
  std::vector<std::int64_t> segment_first_sample_;  // Index of the sample at that position.
  std::vector<std::int64_t> segment_draw_;          // With replacement.
};

}  // namespace contrapunto
