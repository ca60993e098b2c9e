// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/data/epoch_order.hpp"
#include "contrapunto/data/source_part.hpp"

namespace contrapunto::detail {

/// The samples of the epochs of a loader. Each part of a source is visited in passes, in each of
/// which every sample occurs once, and an epoch goes on in the pass where the one before it
/// stopped. With lanes this holds in each lane; lanes whose lengths differ by a sample drift apart
/// by as little. Parts take turns in proportion to their shares: of any n consecutive samples of a
/// lane, a part has its share to within one sample for each part.
///
/// Without parts, and if an epoch has as many samples as the source, an epoch is a pass. It is a
/// pure function of (shard sizes, parts, options, samples, seed, epoch).
class SampleOrder {
 public:
  /// A group of samples that can be read together; see EpochOrder.
  struct Group {
    std::int64_t part = 0, pass = 0, number = 0;
    auto operator<=>(const Group&) const = default;
  };
  struct Place {
    Group group;
    std::int64_t at = 0;          ///< Position in the group.
    std::int64_t group_size = 0;  ///< Samples of the group.
  };
  struct Visit {
    std::int64_t index = 0;
    std::int64_t pass = 0;  ///< Differs between the visits of a sample.
  };

  /// `parts` may be empty: then the source is one part. `samples` is the size of an epoch; 0: that
  /// of the source. Raises for options out of range, for shares that are not positive, and if an
  /// epoch would visit each sample of a part more than kMostPasses times.
  SampleOrder(std::vector<std::int64_t> shard_sizes, const std::vector<SourcePart>& parts,
              EpochOrderOptions options, std::int64_t samples)
      : o_(std::move(options)) {
    o_.check();
    const auto total = sum(shard_sizes);
    TORCH_CHECK(samples >= 0, "DataLoader: epoch_samples (", samples, ") must not be negative");
    size_ = samples > 0 ? samples : total;
    if (parts.empty()) {
      parts_.push_back({"the data", std::move(shard_sizes), total, 0});
      shares_ = {kShares};
    } else {
      divide(shard_sizes, parts);
    }
    for (const Part& part : parts_) {
      TORCH_CHECK(part.samples >= o_.lanes, "DataLoader: ", part.name, " has ", part.samples,
                  " samples, which are fewer than the ", o_.lanes,
                  " lanes in which pieces of shards are read; lower read_ahead.lanes");
      const double passes =
          static_cast<double>(visits_of(part)) / static_cast<double>(part.samples);
      TORCH_CHECK(passes <= kMostPasses, "DataLoader: an epoch of ", size_, " samples would visit ",
                  "each of the ", part.samples, " samples of ", part.name, " ",
                  std::llround(passes), " times; lower its share or epoch_samples");
    }
  }

  /// Number of samples in an epoch.
  [[nodiscard]] std::int64_t size() const { return size_; }

  /// Begins epoch `epoch`.
  void start(std::uint64_t seed, std::int64_t epoch) {
    epoch_ = epoch;
    for (std::size_t p = 0; p < parts_.size(); ++p) {
      Part& part = parts_[p];
      part.passes.clear();
      EpochOrderOptions options = o_;
      options.part = static_cast<std::int64_t>(p);
      if (o_.with_replacement) {
        options.samples = visits_of(part);
        part.first_pass = epoch;
        part.passes.emplace_back(part.shard_sizes, options, seed, epoch);
        continue;
      }
      part.first_pass = epoch * visits_of(part, 0) / lane_size(part.samples, 0);
      std::int64_t last = part.first_pass;
      for (std::int64_t lane = 0; lane < o_.lanes; ++lane) {
        const std::int64_t visits = visits_of(part, lane);
        const std::int64_t samples = lane_size(part.samples, lane);
        part.first_pass = std::min(part.first_pass, epoch * visits / samples);
        last = std::max(last, (epoch * visits + std::max<std::int64_t>(visits, 1) - 1) / samples);
      }
      for (std::int64_t pass = part.first_pass; pass <= last; ++pass)
        part.passes.emplace_back(part.shard_sizes, options, seed, pass);
    }
  }

  /// Returns the numbers of the shards in the order in which the epoch visits them, first those of
  /// the first part.
  [[nodiscard]] std::vector<std::int64_t> shard_order() const {
    std::vector<std::int64_t> order;
    std::int64_t first_shard = 0;
    for (const Part& part : parts_) {
      for (const EpochOrder& pass : part.passes)
        for (const std::int64_t shard : pass.shard_order()) order.push_back(first_shard + shard);
      first_shard += std::ssize(part.shard_sizes);
    }
    return order;
  }

  /// Returns where position `position` of the epoch is, 0 <= position < size().
  [[nodiscard]] Place locate(std::int64_t position) const {
    const std::int64_t lane = position % o_.lanes;
    auto [part, visit] = turn_of(position / o_.lanes);
    const Part& of = parts_[static_cast<std::size_t>(part)];
    std::int64_t pass = epoch_;
    if (!o_.with_replacement) {
      const std::int64_t samples = lane_size(of.samples, lane);
      visit += epoch_ * visits_of(of, lane);
      pass = visit / samples;
      visit %= samples;
    }
    const auto place = order(of, pass).locate(lane, visit);
    return {{part, pass, place.group}, place.at, place.group_size};
  }

  /// Returns the sample at `place`.
  [[nodiscard]] Visit visit(const Place& place) const {
    const Part& part = parts_[static_cast<std::size_t>(place.group.part)];
    const auto found =
        order(part, place.group.pass).visit({place.group.number, place.at, place.group_size});
    return {part.first_sample + found.index,
            o_.with_replacement ? (place.group.pass << 32) + found.draw : place.group.pass};
  }

  [[nodiscard]] Visit operator()(std::int64_t position) const { return visit(locate(position)); }

  /// Returns a line for each part that says how often an epoch visits its samples; nothing if an
  /// epoch visits each sample once.
  [[nodiscard]] std::vector<std::string> describe() const {
    std::vector<std::string> lines;
    if (parts_.size() == 1 && size_ == parts_[0].samples && !o_.with_replacement) return lines;
    for (const Part& part : parts_) {
      const auto visits = static_cast<double>(visits_of(part));
      char text[160];
      std::snprintf(
          text, sizeof text, "%.4g %% of an epoch, which visits each of %lld samples %.3g times",
          100.0 * visits / static_cast<double>(size_), static_cast<long long>(part.samples),
          visits / static_cast<double>(part.samples));
      lines.push_back(part.name + ": " + text + (o_.with_replacement ? " on average" : ""));
    }
    return lines;
  }

 private:
  static constexpr double kMostPasses = 1000.0;
  /// Shares are whole numbers that add up to this, so turns are computed without rounding.
  static constexpr std::int64_t kShares = std::int64_t{1} << 24;

  struct Part {
    std::string name;
    std::vector<std::int64_t> shard_sizes;
    std::int64_t samples = 0, first_sample = 0;
    std::int64_t first_pass = 0;
    std::vector<EpochOrder> passes = {};  // Those of the epoch, from first_pass on.
  };

  static std::int64_t sum(const std::vector<std::int64_t>& sizes) {
    return std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0});
  }

  [[nodiscard]] static const EpochOrder& order(const Part& part, std::int64_t pass) {
    return part.passes[static_cast<std::size_t>(pass - part.first_pass)];
  }

  void divide(const std::vector<std::int64_t>& shard_sizes, const std::vector<SourcePart>& parts) {
    double total = 0.0;
    for (const SourcePart& part : parts) {
      TORCH_CHECK(std::isfinite(part.share) && part.share > 0.0, "DataLoader: the share of ",
                  part.name, " (", part.share, ") must be positive");
      total += part.share;
    }
    auto shard = shard_sizes.begin();
    std::int64_t first_sample = 0;
    for (const SourcePart& part : parts) {
      TORCH_CHECK(part.shards <= shard_sizes.end() - shard,
                  "DataLoader: the parts of the source have more shards than the source");
      std::vector<std::int64_t> sizes(shard, shard + part.shards);
      shard += part.shards;
      const std::int64_t samples = sum(sizes);
      parts_.push_back({part.name, std::move(sizes), samples, first_sample});
      first_sample += samples;
      shares_.push_back(std::max<std::int64_t>(
          std::llround(part.share / total * static_cast<double>(kShares)), 1));
    }
    TORCH_CHECK(shard == shard_sizes.end(),
                "DataLoader: the parts of the source have fewer shards than the source");
    // The largest share takes up the rounding of the others.
    auto& largest = *std::max_element(shares_.begin(), shares_.end());
    largest += kShares - sum(shares_);
  }

  [[nodiscard]] std::int64_t lane_size(std::int64_t samples, std::int64_t lane) const {
    return (samples - lane + o_.lanes - 1) / o_.lanes;
  }

  /// Returns which part has turn number `turn` of a lane, and how many turns it has had before.
  [[nodiscard]] std::pair<std::int64_t, std::int64_t> turn_of(std::int64_t turn) const {
    std::int64_t shares = kShares;
    for (std::size_t p = 0; p + 1 < parts_.size(); ++p) {
      const std::int64_t before = turns(turn, shares_[p], shares);
      if (turns(turn + 1, shares_[p], shares) > before)
        return {static_cast<std::int64_t>(p), before};
      turn -= before;
      shares -= shares_[p];
    }
    return {std::ssize(parts_) - 1, turn};
  }

  /// Returns how many of the first `all` turns a share of `share` from `shares` has, rounded to
  /// nearest.
  static std::int64_t turns(std::int64_t all, std::int64_t share, std::int64_t shares) {
    return (all * share + shares / 2) / shares;
  }

  /// Number of visits of a part in an epoch, in one lane and in all.
  [[nodiscard]] std::int64_t visits_of(const Part& part, std::int64_t lane) const {
    std::int64_t left = lane_size(size_, lane);
    std::int64_t shares = kShares;
    for (std::size_t p = 0;; ++p) {
      if (p + 1 == parts_.size()) return left;
      const std::int64_t own = turns(left, shares_[p], shares);
      if (&parts_[p] == &part) return own;
      left -= own;
      shares -= shares_[p];
    }
  }
  [[nodiscard]] std::int64_t visits_of(const Part& part) const {
    std::int64_t visits = 0;
    for (std::int64_t lane = 0; lane < o_.lanes; ++lane) visits += visits_of(part, lane);
    return visits;
  }

  EpochOrderOptions o_;
  std::int64_t size_ = 0;
  std::int64_t epoch_ = 0;
  std::vector<Part> parts_;
  std::vector<std::int64_t> shares_;
};

}  // namespace contrapunto::detail
