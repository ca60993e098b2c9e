// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "contrapunto/log/curves_options.hpp"
#include "contrapunto/log/data_times.hpp"
#include "contrapunto/log/evaluation_csv.hpp"
#include "contrapunto/log/evaluation_series.hpp"
#include "contrapunto/log/evaluation_table.hpp"
#include "contrapunto/log/format.hpp"
#include "contrapunto/log/json_lines_writer.hpp"
#include "contrapunto/log/progress_line.hpp"
#include "contrapunto/log/throughput_meter.hpp"
#include "contrapunto/log/write_curves.hpp"
