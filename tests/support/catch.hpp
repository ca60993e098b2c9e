// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

// Torch first: its headers pull in glog's CHECK, which would silently replace Catch's and abort the
// process.
#include <torch/torch.h>

#ifdef CHECK
#undef CHECK
#endif

#if __has_include(<catch2/catch.hpp>)
#include <catch2/catch.hpp>
#else
#include <catch2/catch_all.hpp>

#include <concepts>
#include <string>
#include <utility>

using Catch::Approx;

namespace Catch::Matchers {
/// Matches texts that contain `part`. Catch2 3 calls it ContainsSubstring and uses Contains for
/// ranges.
template <class Text>
requires std::convertible_to<Text, std::string> StringContainsMatcher Contains(Text&& part) {
  return ContainsSubstring(std::string(std::forward<Text>(part)));
}
}  // namespace Catch::Matchers
#endif
