// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>

#include "contrapunto/core/detail/host_device.hpp"

/// The parts of a RandomStream that CUDA kernels use too.
namespace contrapunto::detail {

struct RandomWords {
  std::uint32_t at[4];
};

/// Philox 4x32-10; see philox().
CONTRAPUNTO_HOST_DEVICE constexpr RandomWords philox_words(RandomWords counter, std::uint32_t key0,
                                                           std::uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53} * counter.at[0];
    const std::uint64_t b = std::uint64_t{0xCD9E8D57} * counter.at[2];
    counter = {
        static_cast<std::uint32_t>(b >> 32) ^ counter.at[1] ^ key0, static_cast<std::uint32_t>(b),
        static_cast<std::uint32_t>(a >> 32) ^ counter.at[3] ^ key1, static_cast<std::uint32_t>(a)};
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  return counter;
}

/// Uniform in [0, 1), with 53 of the 64 bits.
CONTRAPUNTO_HOST_DEVICE constexpr double uniform_of_words(std::uint32_t high, std::uint32_t low) {
  return static_cast<double>(((std::uint64_t{high} << 32) | low) >> 11) * 0x1p-53;
}

/// Normal with mean 0 and standard deviation 1, from two numbers that are uniform in [0, 1).
CONTRAPUNTO_HOST_DEVICE inline double normal_of_uniforms(double first, double second) {
  constexpr double kPi = 3.141592653589793238;  // Without <numbers>, because kernels are C++17.
  // Box and Muller 1958. The logarithm of 1 - first, which is in (0, 1], is finite.
  const double radius = std::sqrt(-2.0 * std::log(1.0 - first));
  return radius * std::cos(2.0 * kPi * second);
}

}  // namespace contrapunto::detail
