// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <exception>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "contrapunto/core/error_text.hpp"
#include "contrapunto/settings/detail/setting_text.hpp"
#include "contrapunto/settings/setting_check.hpp"

namespace contrapunto {

/// One setting of a program: its name, its variable, its help and its allowed values.
/// SettingsTable::add() creates a setting, and the functions below refine it.
class Setting {
 public:
  /// The variable that a setting reads and writes.
  using Variable = std::variant<bool*, std::int64_t*, std::uint64_t*, double*, std::string*,
                                std::vector<std::string>*>;

  Setting(std::string name, std::string section, Variable variable, std::string help)
      : name_(std::move(name)),
        section_(std::move(section)),
        help_(std::move(help)),
        variable_(variable),
        default_(text()) {
    check_value();
  }

  /// Also requires numbers to pass `check`. Raises at once if the current value of the variable
  /// does not pass, and for a setting that is not a number.
  Setting& check(SettingCheck check) {
    TORCH_CHECK(is_number(), "setting '", name_, "': only numbers can be checked to be ",
                check.allowed);
    checks_.push_back(std::move(check));
    check_value();
    return *this;
  }

  /// Accepts only these words. In a list, each element must be one of them. Raises at once, as
  /// check() does.
  Setting& one_of(std::vector<std::string> words) {
    TORCH_CHECK(is_text(), "setting '", name_, "': only texts can be one of several words");
    words_ = std::move(words);
    check_value();
    return *this;
  }

  /// Accepts only texts that `parse(const std::string&)` reads without raising. Its message becomes
  /// part of the message of the setting. Raises at once, as check() does.
  template <class Parse>
  Setting& readable_by(Parse parse) {
    TORCH_CHECK(is_text(), "setting '", name_, "': only texts can be parsed");
    parse_ = [parse](const std::string& text) { static_cast<void>(parse(text)); };
    check_value();
    return *this;
  }

  /// Declares that this setting does not affect the result of the run but only its execution, such
  /// as the number of threads. It may differ between ranks and may change when a run is resumed.
  Setting& may_change() {
    fixed_ = false;
    return *this;
  }

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const std::string& section() const { return section_; }

  /// Whether the setting affects the result of the run; see may_change().
  [[nodiscard]] bool fixed() const { return fixed_; }

  /// The help with the allowed values: "decay of averaged weights (at least 0, below 1)".
  [[nodiscard]] std::string help() const {
    const auto values = allowed();
    return values.empty() ? help_ : help_ + " (" + values + ")";
  }

  /// The value as text; the elements of a list are separated by commas.
  [[nodiscard]] std::string text() const {
    return std::visit([](const auto* value) { return detail::setting_text(*value); }, variable_);
  }

  /// text() of the value that the variable had when the setting was added.
  [[nodiscard]] const std::string& default_text() const { return default_; }

  [[nodiscard]] const Variable& variable() const { return variable_; }
  /// Whether the variable has type T.
  template <class T>
  [[nodiscard]] bool holds() const {
    return std::holds_alternative<T*>(variable_);
  }

  /// Sets the variable from text: one value, or any number of values for a list. Numbers may be
  /// written as in TOML, such as "50_000" and "5e-4"; switches are "true" or "false". If a value is
  /// not allowed, raises with the setting, its value and what is allowed, and leaves the variable
  /// unchanged.
  void set(const std::vector<std::string>& values) {
    if (auto* const* list = std::get_if<std::vector<std::string>*>(&variable_)) {
      auto before = std::exchange(**list, values);
      restore_unless_allowed(**list, std::move(before));
      return;
    }
    TORCH_CHECK(values.size() == 1, name_, " takes one value, got ", values.size(), ": ",
                detail::joined(values));
    std::visit(
        [&](auto* variable) {
          using T = std::remove_pointer_t<decltype(variable)>;
          if constexpr (!std::is_same_v<T, std::vector<std::string>>) {
            T value{};
            const auto expected = detail::read_setting(values.front(), value);
            TORCH_CHECK(expected.empty(), name_, " is '", values.front(), "'; it must be ",
                        expected);
            restore_unless_allowed(*variable, std::exchange(*variable, value));
          }
        },
        variable_);
  }

 private:
  [[nodiscard]] bool is_text() const {
    return holds<std::string>() || holds<std::vector<std::string>>();
  }
  [[nodiscard]] bool is_number() const { return !is_text() && !holds<bool>(); }

  [[nodiscard]] std::string allowed() const {
    auto words = words_;
    for (auto& word : words)
      if (word.empty()) word = "empty";
    for (const auto& check : checks_) words.push_back(check.allowed);
    return detail::joined(words);
  }

  [[nodiscard]] std::vector<std::string> texts() const {
    if (const auto* const* list = std::get_if<std::vector<std::string>*>(&variable_)) return **list;
    return {text()};
  }

  /// Raises if the variable has a value that is not allowed.
  void check_value() const {
    if (const auto* const* value = std::get_if<double*>(&variable_))
      TORCH_CHECK(std::isfinite(**value), name_, " is ", **value, "; it must be a finite number");
    for (const auto& check : checks_) {
      const bool accepted = std::visit(
          [&](const auto* value) {
            if constexpr (std::is_arithmetic_v<std::remove_cvref_t<decltype(*value)>>)
              return check.accepts(static_cast<double>(*value));
            else
              return true;
          },
          variable_);
      TORCH_CHECK(accepted, name_, " is ", text(), "; it must be ", check.allowed);
    }
    for (const auto& text : texts()) {
      TORCH_CHECK(words_.empty() || std::find(words_.begin(), words_.end(), text) != words_.end(),
                  name_, " is '", text, "'; it must be one of: ", allowed());
      if (!parse_) continue;
      try {
        parse_(text);
      } catch (const std::exception& error) {
        TORCH_CHECK(false, name_, " is '", text, "'; ", error_text(error));
      }
    }
  }

  template <class T>
  void restore_unless_allowed(T& variable, T before) const {
    try {
      check_value();
    } catch (...) {
      variable = std::move(before);
      throw;
    }
  }

  std::string name_;
  std::string section_;
  std::string help_;
  Variable variable_;
  std::string default_;
  bool fixed_ = true;
  std::vector<SettingCheck> checks_ = {};
  std::vector<std::string> words_ = {};
  std::function<void(const std::string&)> parse_ = {};
};

}  // namespace contrapunto
