// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include <iostream>

#include "contrapunto/settings.hpp"

int main(int argc, char** argv) {
  double rate = 0.5;
  contrapunto::SettingsTable table;
  table.add("rate", rate, "a number").check(contrapunto::in_range(0, 1));
  CLI::App app{"A program with one setting."};
  contrapunto::add_to_command_line(app, table);
  CLI11_PARSE(app, argc, argv);
  std::cout << "rate " << rate << '\n';
}
