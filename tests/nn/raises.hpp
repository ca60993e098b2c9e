// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <initializer_list>
#include <string>

#include "support/catch.hpp"

namespace contrapunto::test {

/// True when `action` raises a c10::Error whose message holds all of `words`.
template <class Action>
bool raises(Action action, std::initializer_list<const char*> words) {
  try {
    action();
  } catch (const c10::Error& error) {
    const std::string message = error.what_without_backtrace();
    for (const auto* word : words)
      if (message.find(word) == std::string::npos) {
        UNSCOPED_INFO("'" << word << "' is not in: " << message);
        return false;
      }
    return true;
  }
  UNSCOPED_INFO("nothing was raised");
  return false;
}

}  // namespace contrapunto::test
