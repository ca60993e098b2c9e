// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "contrapunto/autograd.hpp"
#include "contrapunto/checkpoint.hpp"
#include "contrapunto/core.hpp"
#include "contrapunto/data.hpp"
#include "contrapunto/distributed.hpp"
#include "contrapunto/evaluate.hpp"
#include "contrapunto/image.hpp"
#include "contrapunto/io.hpp"
#include "contrapunto/kernels.hpp"
#include "contrapunto/log.hpp"
#include "contrapunto/loss.hpp"
#include "contrapunto/nn.hpp"
#include "contrapunto/optim.hpp"
#include "contrapunto/plan.hpp"
#include "contrapunto/precision.hpp"
#include "contrapunto/schedule.hpp"
#include "contrapunto/step.hpp"
#include "contrapunto/text.hpp"
#include "contrapunto/towers.hpp"
#include "contrapunto/version.hpp"
