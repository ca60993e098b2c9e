// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace contrapunto::detail {

/// False, but known only when a template is used. Umbrella headers declare what a component that is
/// not linked would bring as templates with a static_assert on this, whose sentence names it.
template <class>
inline constexpr bool kIsLinked = false;

}  // namespace contrapunto::detail
