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
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "contrapunto/core/hash.hpp"
#include "contrapunto/distributed/gather_rows.hpp"
#include "contrapunto/distributed/ranks.hpp"

namespace contrapunto {

namespace detail {

/// Gathers one number from each rank.
inline std::vector<std::int64_t> gather_numbers(const Ranks& ranks, std::int64_t number) {
  const auto gathered = ranks.all_gather(at::full({1}, number, at::kLong).to(ranks.device())).cpu();
  const auto* first = gathered.data_ptr<std::int64_t>();
  return {first, first + ranks.size()};
}

/// Lists the ranks whose text differs from that of rank 0: "rank 1 has a, rank 0 has b". Returns an
/// empty text if none differs.
inline std::string list_differences(const std::vector<std::string>& shown) {
  constexpr std::size_t kListed = 8;
  std::string list;
  std::size_t different = 0;
  for (std::size_t r = 1; r < shown.size(); ++r) {
    if (shown[r] == shown[0] || ++different > kListed) continue;
    list += "rank " + std::to_string(r) + " has " + shown[r] + ", ";
  }
  if (different > kListed) list += std::to_string(different - kListed) + " more ranks differ, ";
  return different == 0 ? "" : list + "rank 0 has " + shown[0];
}

/// Raises if `shown` is not the same text for all ranks.
inline void refuse_difference(std::string_view name, const std::vector<std::string>& shown) {
  const auto list = list_differences(shown);
  TORCH_CHECK(list.empty(), name, " differs: ", list, "; start all ranks with the same");
}

/// Returns a short text unchanged, and of a long text the part around position `at`.
inline std::string excerpt(std::string_view text, std::size_t at) {
  constexpr std::size_t kShown = 60;
  if (text.size() <= kShown) return "'" + std::string(text) + "'";
  const auto begin = std::min(at - std::min(at, kShown / 2), text.size() - kShown);
  return std::string(begin > 0 ? "'..." : "'") + std::string(text.substr(begin, kShown)) +
         (begin + kShown < text.size() ? "...'" : "'");
}

/// Returns the first position at which any of `texts` differs from the first text.
inline std::size_t first_difference(const std::vector<std::string>& texts) {
  auto position = std::string::npos;
  for (const auto& text : texts) {
    const auto common = std::min(text.size(), texts.front().size());
    std::size_t same = 0;
    while (same < common && text[same] == texts.front()[same]) ++same;
    if (text != texts.front()) position = std::min(position, same);
  }
  return position;
}

/// Returns the texts of all ranks if they differ, and nothing if they are all equal. Ranks compare
/// hashes and exchange the texts only if the hashes differ.
inline std::vector<std::string> gather_different_texts(const Ranks& ranks, std::string_view text) {
  const auto hashes = gather_numbers(ranks, hash_of(text));
  const auto differs = [&](std::int64_t other) { return other != hashes.front(); };
  if (std::none_of(hashes.begin(), hashes.end(), differs)) return {};

  const auto size = static_cast<std::int64_t>(text.size());
  auto bytes = at::empty({size}, at::kByte);
  if (size > 0) std::memcpy(bytes.data_ptr(), text.data(), text.size());
  const auto gathered = gather_rows(ranks, bytes.to(ranks.device()));
  const auto rows = gathered.rows.cpu();
  const auto* next = static_cast<const char*>(rows.data_ptr());
  std::vector<std::string> texts;
  for (const auto length : gathered.sizes) {
    texts.emplace_back(next, static_cast<std::size_t>(length));
    next += length;
  }
  return texts;
}

using NamedValues = std::vector<std::pair<std::string, std::string>>;

/// Packs names and values into one text, each preceded by its length, and unpacks them.
inline std::string pack_named_values(const NamedValues& entries) {
  std::string text;
  for (const auto& [name, value] : entries)
    for (const auto* part : {&name, &value}) text += std::to_string(part->size()) + ":" + *part;
  return text;
}
inline NamedValues unpack_named_values(std::string_view text) {
  const auto next = [&] {
    const auto colon = text.find(':');
    const auto size = static_cast<std::size_t>(std::stoull(std::string(text.substr(0, colon))));
    std::string part(text.substr(colon + 1, size));
    text.remove_prefix(colon + 1 + size);
    return part;
  };
  NamedValues entries;
  while (!text.empty()) {
    auto name = next();
    entries.emplace_back(std::move(name), next());
  }
  return entries;
}

}  // namespace detail

/// Returns the ranks on which `condition` holds, in ascending order. The list is the same on every
/// rank. Collective.
[[nodiscard]] inline std::vector<std::int64_t> ranks_where(const Ranks& ranks, bool condition) {
  const auto holds = detail::gather_numbers(ranks, condition ? 1 : 0);
  std::vector<std::int64_t> found;
  for (std::size_t r = 0; r < holds.size(); ++r)
    if (holds[r] != 0) found.push_back(static_cast<std::int64_t>(r));
  return found;
}

/// Raises on every rank if `value` is not the same on all ranks. The message names the ranks that
/// differ from rank 0 with their values: "batch size differs: rank 1 has 512, rank 0 has 256".
/// Collective.
inline void check_same_on_all_ranks(const Ranks& ranks, std::string_view name, std::int64_t value) {
  std::vector<std::string> shown;
  for (const auto number : detail::gather_numbers(ranks, value))
    shown.push_back(std::to_string(number));
  detail::refuse_difference(name, shown);
}

/// The same for a text. For long texts the message shows where they start to differ.
inline void check_same_on_all_ranks(const Ranks& ranks, std::string_view name,
                                    std::string_view value) {
  const auto texts = detail::gather_different_texts(ranks, value);
  if (texts.empty()) return;
  const auto position = detail::first_difference(texts);
  std::vector<std::string> shown;
  for (const auto& text : texts) shown.push_back(detail::excerpt(text, position));
  detail::refuse_difference(name, shown);
  // The texts differ, but not in the part that is shown.
  TORCH_CHECK(false, name, " differs between ranks; start all ranks with the same");
}

/// The same for a list of names with values, such as the settings of a run. The message names only
/// the entries that differ, at most 10: "the settings differ: batch_size: rank 1 has '512', rank 0
/// has '256'". An entry that is missing on a rank counts as different. Names must be unique within
/// a list.
inline void check_same_on_all_ranks(
    const Ranks& ranks, std::string_view what,
    const std::vector<std::pair<std::string, std::string>>& entries) {
  const auto texts = detail::gather_different_texts(ranks, detail::pack_named_values(entries));
  if (texts.empty()) return;
  std::vector<std::map<std::string, std::string>> of_rank;
  std::vector<std::string> names;  // In the order of the first rank that has them.
  for (const auto& text : texts) {
    of_rank.emplace_back();
    for (auto& [name, value] : detail::unpack_named_values(text)) {
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
      of_rank.back()[name] = std::move(value);
    }
  }
  constexpr std::size_t kListed = 10;
  std::size_t different = 0;
  std::string list;
  for (const auto& name : names) {
    std::vector<std::string> values;
    for (const auto& values_of_rank : of_rank) {
      const auto found = values_of_rank.find(name);
      values.push_back(found == values_of_rank.end() ? "" : "=" + found->second);
    }
    const auto position = detail::first_difference(values);
    if (position == std::string::npos || ++different > kListed) continue;
    std::vector<std::string> shown;
    for (const auto& value : values)
      shown.push_back(value.empty()
                          ? "no such entry"
                          : detail::excerpt(std::string_view(value).substr(1),
                                            position - std::min<std::size_t>(position, 1)));
    list += (list.empty() ? "" : "; ") + name + ": " + detail::list_differences(shown);
  }
  if (different > kListed) list += "; " + std::to_string(different - kListed) + " more differ";
  TORCH_CHECK(different > 0, what, " differ in their order; start all ranks with the same");
  TORCH_CHECK(false, what, " differ: ", list, "; start all ranks with the same");
}

}  // namespace contrapunto
