// Names of the functions that models choose from.
#pragma once

namespace rnncore {

// What is applied to each output of a linear layer. gelu is x Phi(x), Phi the normal distribution (Hendrycks & Gimpel
// 2016).
enum class Activation { none, relu, tanh, sigmoid, gelu };

enum class LossKind { mean_squared_error, mean_absolute_error, huber, pinball, gaussian_nll, cross_entropy };

}  // namespace rnncore
