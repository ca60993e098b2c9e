// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "contrapunto/settings/run_settings.hpp"
#include "contrapunto/settings/setting.hpp"
#include "contrapunto/settings/setting_check.hpp"
#include "contrapunto/settings/settings_json.hpp"
#include "contrapunto/settings/settings_table.hpp"

#ifdef CONTRAPUNTO_HAS_CLI
#include "contrapunto/settings/command_line.hpp"
#endif
