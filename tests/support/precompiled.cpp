// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
// This file is empty on purpose: the precompiled header of all tests is built with it.
