// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "contrapunto/core/detail/random_words.hpp"

namespace contrapunto {

/// Philox 4x32-10: returns four random words that depend only on `counter` and `key`, so that any
/// position of a stream can be computed directly.
/// Reference: Salmon et al. 2011, https://doi.org/10.1145/2063384.2063405
[[nodiscard]] constexpr std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter,
                                                            std::array<std::uint32_t, 2> key) {
  const auto words =
      detail::philox_words({{counter[0], counter[1], counter[2], counter[3]}}, key[0], key[1]);
  return {words.at[0], words.at[1], words.at[2], words.at[3]};
}

/// Random numbers for one item (such as a sample) in one epoch. They are a pure function of the
/// three arguments of the constructor and do not depend on the thread. A stream has 2^34 words.
class RandomStream {
 public:
  /// `seed` selects the run, and `epoch` and `index` select the stream within it. Epochs are below
  /// 2^32.
  explicit RandomStream(std::uint64_t seed = 0, std::uint64_t epoch = 0, std::uint64_t index = 0)
      : key_{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)},
        counter_{0, static_cast<std::uint32_t>(epoch), static_cast<std::uint32_t>(index),
                 static_cast<std::uint32_t>(index >> 32)} {}

  /// 32 random bits.
  std::uint32_t next() {
    if (used_ == 4) {
      words_ = philox(counter_, key_);
      ++counter_[0];
      used_ = 0;
    }
    return words_[used_++];
  }

  /// Uniform in [0, 1), with 53 random bits.
  double uniform() {
    const std::uint32_t high = next();
    return detail::uniform_of_words(high, next());
  }

  /// Uniform in [low, high).
  double uniform(double low, double high) { return low + (high - low) * uniform(); }

  /// Normal with mean 0 and standard deviation 1. It draws two uniform numbers each time, and is
  /// within 8.6 of 0.
  double normal() {
    const double first = uniform();
    return detail::normal_of_uniforms(first, uniform());
  }

  /// Uniform in {0, ..., n - 1}, without bias. n >= 1.
  std::int64_t integer(std::int64_t n) {
    const auto range = static_cast<std::uint64_t>(n);
    const std::uint64_t rejected = (0 - range) % range;  // 2^64 mod n: values that would bias.
    for (;;) {
      const std::uint64_t high = next();
      const std::uint64_t bits = (high << 32) | next();
      if (bits >= rejected) return static_cast<std::int64_t>(bits % range);
    }
  }

 private:
  std::array<std::uint32_t, 2> key_;
  std::array<std::uint32_t, 4> counter_;
  std::array<std::uint32_t, 4> words_{};
  unsigned used_ = 4;
};

/// Returns the seed for the random numbers, such as those of dropout, that rank `rank` draws in
/// optimizer step `step`. It is a pure function of its arguments: ranks draw different numbers in
/// every step, and a resumed run draws the numbers of the uninterrupted one. It does not depend on
/// the number of ranks, so a rank keeps its numbers if a run resumes with more or fewer ranks. Pass
/// it to torch::manual_seed before the step.
[[nodiscard]] constexpr std::uint64_t rank_seed(std::uint64_t seed, std::int64_t step,
                                                std::int64_t rank) {
  // No RandomStream has this last word in its counter unless its index is 2^63 or more.
  constexpr std::uint32_t kDomain = 0xFFFFFFFF;
  const auto at = static_cast<std::uint64_t>(step);
  const auto words =
      philox({static_cast<std::uint32_t>(at), static_cast<std::uint32_t>(at >> 32),
              static_cast<std::uint32_t>(rank), kDomain},
             {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
  return (std::uint64_t{words[0]} << 32) | words[1];
}

/// A random permutation of {0, ..., n - 1} that needs no memory: each position is computed on
/// request. It is a Feistel network over the next power of four, iterated until the value is below
/// n.
/// Reference: Black and Rogaway 2002, https://doi.org/10.1007/3-540-45760-7_9
class Permutation {
 public:
  /// n >= 0. The permutation is a pure function of (n, seed, epoch, index).
  Permutation(std::int64_t n, std::uint64_t seed, std::uint64_t epoch = 0, std::uint64_t index = 0)
      : n_(static_cast<std::uint64_t>(n)) {
    half_bits_ = n > 1 ? (static_cast<unsigned>(std::bit_width(n_ - 1)) + 1) / 2 : 1;
    RandomStream random(seed, epoch, index);
    for (auto& key : keys_) {
      const std::uint64_t high = random.next();
      key = (high << 32) | random.next();
    }
  }

  /// Returns n.
  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(n_); }

  /// Returns the value at position `i`, 0 <= i < n.
  [[nodiscard]] std::int64_t operator()(std::int64_t i) const {
    if (n_ <= 1) return 0;
    auto value = static_cast<std::uint64_t>(i);
    do {
      value = encrypt(value);
    } while (value >= n_);
    return static_cast<std::int64_t>(value);
  }

 private:
  [[nodiscard]] std::uint64_t encrypt(std::uint64_t value) const {
    const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
    std::uint64_t left = value >> half_bits_;
    std::uint64_t right = value & mask;
    for (const std::uint64_t key : keys_) {
      // The finalizer of splitmix64 spreads every bit of `right` over the word.
      std::uint64_t mixed = right + key;
      mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9;
      mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB;
      const std::uint64_t next_right = left ^ ((mixed >> 31) & mask);
      left = right;
      right = next_right;
    }
    return (left << half_bits_) | right;
  }

  std::uint64_t n_;
  unsigned half_bits_;
  std::array<std::uint64_t, 6> keys_{};
};

}  // namespace contrapunto
