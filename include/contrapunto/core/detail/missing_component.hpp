// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace contrapunto::detail {

/// False, but only evaluated when a template is instantiated. If a component is not linked, the
/// umbrella headers declare its classes as templates with a static_assert on this constant, whose
/// message names the component.
template <class>
inline constexpr bool kIsLinked = false;

}  // namespace contrapunto::detail
