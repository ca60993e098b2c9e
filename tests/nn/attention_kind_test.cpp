// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/nn/attention_kind.hpp"

#include "nn/raises.hpp"
#include "support/catch.hpp"

using namespace contrapunto;

TEST_CASE("A plan of attention is read and written", "[nn][cpu]") {
  const auto plan = parse_attention_plan(" window7,shifted14 , global, linear,focused");
  const std::vector<AttentionKind> expected{{AttentionPattern::kWindow, 7, false},
                                            {AttentionPattern::kWindow, 14, true},
                                            {AttentionPattern::kGlobal},
                                            {AttentionPattern::kLinear},
                                            {AttentionPattern::kFocused}};
  CHECK((plan == expected));
  CHECK(attention_plan_text(plan) == "window7, shifted14, global, linear, focused");
  CHECK(parse_attention_plan("  ").empty());
  CHECK(attention_plan_text({}).empty());
}

TEST_CASE("An unknown attention is named", "[nn][cpu]") {
  for (const auto* word :
       {"local", "window", "window0", "window-3", "window7x", "shifted", "global,"})
    CHECK(test::raises([&] { static_cast<void>(parse_attention_plan(word)); },
                       {"the entries are global, windowN"}));
}
