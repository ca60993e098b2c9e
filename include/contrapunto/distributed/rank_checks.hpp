// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "contrapunto/core/hash.hpp"
#include "contrapunto/distributed/gather_rows.hpp"
#include "contrapunto/distributed/ranks.hpp"

namespace contrapunto {

namespace detail {

/// One number from each rank.
inline std::vector<std::int64_t> gather_numbers(const Ranks& ranks, std::int64_t number) {
  const auto gathered =
      ranks.all_gather(at::full({1}, number, at::kLong).to(ranks.device())).cpu();
  const auto* first = gathered.data_ptr<std::int64_t>();
  return {first, first + ranks.size()};
}

/// Raises when `shown` is not the same text for all ranks.
inline void refuse_difference(std::string_view name, const std::vector<std::string>& shown) {
  constexpr std::size_t kListed = 8;
  std::string list;
  std::size_t different = 0;
  for (std::size_t r = 1; r < shown.size(); ++r) {
    if (shown[r] == shown[0] || ++different > kListed) continue;
    list += "rank " + std::to_string(r) + " has " + shown[r] + ", ";
  }
  if (different > kListed) list += std::to_string(different - kListed) + " more ranks differ, ";
  TORCH_CHECK(different == 0, name, " differs: ", list, "rank 0 has ", shown[0],
              "; start all ranks with the same");
}

/// Short texts as they are, of long ones what stands around place `at`.
inline std::string excerpt(std::string_view text, std::size_t at) {
  constexpr std::size_t kShown = 60;
  if (text.size() <= kShown) return "'" + std::string(text) + "'";
  const auto begin = std::min(at - std::min(at, kShown / 2), text.size() - kShown);
  return std::string(begin > 0 ? "'..." : "'") + std::string(text.substr(begin, kShown)) +
         (begin + kShown < text.size() ? "...'" : "'");
}

}  // namespace detail

/// The ranks on which `condition` holds, ascending, the same list on every rank. Collective.
[[nodiscard]] inline std::vector<std::int64_t> ranks_where(const Ranks& ranks, bool condition) {
  const auto holds = detail::gather_numbers(ranks, condition ? 1 : 0);
  std::vector<std::int64_t> found;
  for (std::size_t r = 0; r < holds.size(); ++r)
    if (holds[r] != 0) found.push_back(static_cast<std::int64_t>(r));
  return found;
}

/// Raises on every rank when `value` is not the same on all, and names the ranks that differ from
/// rank 0 with their values: "batch size differs: rank 1 has 512, rank 0 has 256". Collective.
inline void check_same_on_all_ranks(const Ranks& ranks, std::string_view name,
                                    std::int64_t value) {
  std::vector<std::string> shown;
  for (const auto number : detail::gather_numbers(ranks, value))
    shown.push_back(std::to_string(number));
  detail::refuse_difference(name, shown);
}

/// The same for a text, such as a configuration written out. Ranks compare a hash of it and
/// exchange it only when they differ; of long texts the message shows where they part.
inline void check_same_on_all_ranks(const Ranks& ranks, std::string_view name,
                                    std::string_view value) {
  const auto hash = hash_of(value);
  const auto hashes = detail::gather_numbers(ranks, hash);
  const auto differs = [&](std::int64_t other) { return other != hashes.front(); };
  if (std::none_of(hashes.begin(), hashes.end(), differs)) return;

  const auto size = static_cast<std::int64_t>(value.size());
  auto bytes = at::empty({size}, at::kByte);
  if (size > 0) std::memcpy(bytes.data_ptr(), value.data(), value.size());
  const auto gathered = gather_rows(ranks, bytes.to(ranks.device()));
  const auto rows = gathered.rows.cpu();
  const auto* next = static_cast<const char*>(rows.data_ptr());
  std::vector<std::string_view> texts;
  for (const auto length : gathered.sizes) {
    texts.emplace_back(next, static_cast<std::size_t>(length));
    next += length;
  }
  auto parting = std::string_view::npos;
  for (const auto text : texts) {
    const auto common = std::min(text.size(), texts.front().size());
    std::size_t same = 0;
    while (same < common && text[same] == texts.front()[same]) ++same;
    if (text != texts.front()) parting = std::min(parting, same);
  }
  std::vector<std::string> shown;
  for (const auto text : texts) shown.push_back(detail::excerpt(text, parting));
  detail::refuse_difference(name, shown);
  // They differ, but not in what is shown.
  TORCH_CHECK(false, name, " differs between ranks; start all ranks with the same");
}

}  // namespace contrapunto
