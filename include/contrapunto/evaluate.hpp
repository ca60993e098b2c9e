// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "contrapunto/evaluate/class_accuracy.hpp"
#include "contrapunto/evaluate/classification_accuracy.hpp"
#include "contrapunto/evaluate/classifier_accuracy.hpp"
#include "contrapunto/evaluate/evaluate_classifier.hpp"
#include "contrapunto/evaluate/evaluate_zero_shot.hpp"
#include "contrapunto/evaluate/forward_seconds.hpp"
#include "contrapunto/evaluate/labeled_features.hpp"
#include "contrapunto/evaluate/nearest_neighbor_accuracy.hpp"
#include "contrapunto/evaluate/prompt_templates.hpp"
#include "contrapunto/evaluate/report_classes.hpp"
#include "contrapunto/evaluate/retrieval_metrics.hpp"
#include "contrapunto/evaluate/zero_shot_accuracy.hpp"
#include "contrapunto/evaluate/zero_shot_classifier.hpp"
