// The activations of the kernels: their largest error over the whole range, their limits, NaN. float32 is compared at
// every 251st of all values, at every one where RNNCORE_EVERY_FLOAT is set (minutes); float64 at random points and at
// edges.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "probe.hpp"

namespace {

// The bounds that docs/numerics.md states, in units of the last place of the exact result.
constexpr double tanh_ulp = 5, sigmoid_ulp = 3, gelu_ulp = 7;
constexpr double gelu_slope_units = 4;  // of the last place of 1: the slope goes through 0

template <class T>
using Function = void (*)(const T*, rnncore::index, T*);

// What is more exact than T: double for float, long double for double.
template <class T>
using Wide = std::conditional_t<sizeof(T) == 4, double, long double>;

// Cells see exponents of 2: the factors that turn e^x into 2^x are in the packed weights.
template <class W>
W exact_tanh(W x) {
  return std::tanh(x);
}
template <class W>
W exact_tanh_of_exponent(W x) {
  return std::tanh(x * W(0.34657359027997265470861606072908828L));  // ln(2) / 2
}
template <class W>
W exact_sigmoid_of_exponent(W x) {
  return 1 / (1 + std::exp2(x));
}

// x Phi(x), and its derivative.
template <class W>
W exact_gelu(W x) {
  return x * std::erfc(-x * W(0.70710678118654752440L)) / 2;
}
template <class W>
W exact_gelu_slope(W x) {
  return std::erfc(-x * W(0.70710678118654752440L)) / 2 + x * std::exp(-x * x / 2) * W(0.39894228040143267794L);
}

// Denormal numbers are zero inside a call: below the smallest normal number the error counts in units of that.
template <class T>
double error_in_ulp(T result, Wide<T> exact) {
  const Wide<T> size = std::fabs(exact), least = std::numeric_limits<T>::min();
  if (std::isnan(result)) return std::numeric_limits<double>::infinity();
  if (size < least) return static_cast<double>(std::fabs(Wide<T>(result) - exact) / least);
  int exponent;
  std::frexp(size, &exponent);
  return static_cast<double>(std::fabs(Wide<T>(result) - exact) /
                             std::ldexp(Wide<T>(1), exponent - std::numeric_limits<T>::digits));
}

template <class T>
double error_in_units_of_1(T result, Wide<T> exact) {
  if (std::isnan(result)) return std::numeric_limits<double>::infinity();
  return static_cast<double>(std::fabs(Wide<T>(result) - exact) / Wide<T>(std::numeric_limits<T>::epsilon() / 2));
}

struct Worst {
  double ulp = 0, at = 0;
};

template <class T>
void compare(Function<T> function, Wide<T> (*exact)(Wide<T>), const std::vector<T>& x, Worst& worst) {
  std::vector<T> y(x.size());
  function(x.data(), static_cast<rnncore::index>(x.size()), y.data());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double ulp = error_in_ulp(y[i], exact(x[i]));
    if (ulp > worst.ulp) worst = {ulp, double(x[i])};
  }
}

Worst over_all_floats(Function<float> function, double (*exact)(double)) {
  const std::uint64_t stride = std::getenv("RNNCORE_EVERY_FLOAT") ? 1 : 251;
  Worst worst;
  std::vector<float> x;
  for (std::uint64_t bits = 0; bits < std::uint64_t(1) << 32; bits += stride) {
    const auto pattern = static_cast<std::uint32_t>(bits);
    float value;
    std::memcpy(&value, &pattern, sizeof value);
    if (std::isfinite(value)) x.push_back(value);
    if (x.size() < 1 << 16 && bits + stride < std::uint64_t(1) << 32) continue;
    compare(function, exact, x, worst);
    x.clear();
  }
  return worst;
}

Worst over_many_doubles(Function<double> function, long double (*exact)(long double)) {
  std::mt19937_64 random(1);
  std::vector<double> x;
  for (const double most : {0.4, 1.0, 4.0, 25.0, 60.0, 1100.0}) {
    std::uniform_real_distribution<double> uniform(-most, most);
    for (int i = 0; i < 50'000; ++i) x.push_back(uniform(random));
  }
  std::uniform_real_distribution<double> exponent(-1020, 1020);
  for (int i = 0; i < 50'000; ++i) x.push_back((i % 2 ? 1 : -1) * std::exp2(exponent(random)));
  for (const double edge :
       {0.0, 0.34657359027997264, 0.5, 1.0, 18.714973875118524, 20.0, 53.0, 60.0, 1022.0, 1024.0, 1e300})
    for (const double sign : {-1.0, 1.0})
      for (int step = -50; step <= 50; ++step) x.push_back(sign * edge * (1 + step * 1e-15));
  Worst worst;
  compare(function, exact, x, worst);
  return worst;
}

template <class T>
T at(Function<T> function, T x) {
  T y = T(77);
  function(&x, 1, &y);
  return y;
}

}  // namespace

TEST_CASE("activations are exact to a few units of the last place over their whole range") {
  const auto single = rnncore::probe::probe<float>();
  const auto twofold = rnncore::probe::probe<double>();
  const auto check = [](const char* name, const Worst& worst, double bound) {
    MESSAGE(std::string(name) << ": at most " << worst.ulp << " ulp, at " << worst.at);
    CHECK(worst.ulp <= bound);
  };
  SUBCASE("tanh") {
    check("float32", over_all_floats(single.tanh, exact_tanh), tanh_ulp);
    check("float64", over_many_doubles(twofold.tanh, exact_tanh), tanh_ulp);
  }
  SUBCASE("tanh of an exponent") {
    check("float32", over_all_floats(single.tanh_of_exponent, exact_tanh_of_exponent), tanh_ulp);
    check("float64", over_many_doubles(twofold.tanh_of_exponent, exact_tanh_of_exponent), tanh_ulp);
  }
  SUBCASE("gelu") {
    check("float32", over_all_floats(single.gelu, exact_gelu), gelu_ulp);
    check("float64", over_many_doubles(twofold.gelu, exact_gelu), gelu_ulp);
  }
  SUBCASE("sigmoid of an exponent") {
    check("float32", over_all_floats(single.sigmoid_of_exponent, exact_sigmoid_of_exponent), sigmoid_ulp);
    check("float64", over_many_doubles(twofold.sigmoid_of_exponent, exact_sigmoid_of_exponent), sigmoid_ulp);
  }
}

TEST_CASE_TEMPLATE("the slope of gelu is exact to a few units of the last place of 1", T, float, double) {
  const auto probe = rnncore::probe::probe<T>();
  double worst = 0;
  for (int i = -400'000; i <= 400'000; ++i) {
    const T x = T(i) / 10'000;
    worst = std::max(worst, error_in_units_of_1(at(probe.gelu_slope, x), exact_gelu_slope(Wide<T>(x))));
  }
  MESSAGE("at most " << worst);
  CHECK(worst <= gelu_slope_units);
}

TEST_CASE_TEMPLATE("activations have exact limits and keep NaN", T, float, double) {
  const auto probe = rnncore::probe::probe<T>();
  const T infinity = std::numeric_limits<T>::infinity(), largest = std::numeric_limits<T>::max();
  for (const T x : {infinity, largest, T(2000)}) {
    CAPTURE(x);
    for (const auto tanh : {probe.tanh, probe.tanh_of_exponent}) {
      CHECK(at(tanh, x) == 1);
      CHECK(at(tanh, -x) == -1);
    }
    CHECK(at(probe.sigmoid_of_exponent, x) == 0);
    CHECK(at(probe.sigmoid_of_exponent, -x) == 1);
  }
  CHECK(at(probe.gelu, infinity) == infinity);
  CHECK(at(probe.gelu, largest) == largest);
  for (const T x : {-infinity, -largest, T(-2000)}) {
    CHECK(at(probe.gelu, x) == 0);
    CHECK(at(probe.gelu_slope, x) == 0);
    CHECK(at(probe.gelu_slope, -x) == 1);
  }
  const T nan = std::numeric_limits<T>::quiet_NaN();
  for (const auto function :
       {probe.tanh, probe.tanh_of_exponent, probe.sigmoid_of_exponent, probe.gelu, probe.gelu_slope}) {
    const bool half = function == probe.sigmoid_of_exponent || function == probe.gelu_slope;
    CHECK(at(function, T(0)) == (half ? T(0.5) : T(0)));
    for (const T x : {nan, -nan}) CHECK(std::isnan(at(function, x)));
  }
}

TEST_CASE_TEMPLATE("activations stay in their range and do not depend on the place in a register", T, float, double) {
  const auto probe = rnncore::probe::probe<T>();
  std::vector<T> x, y;
  for (int i = -4000; i <= 4000; ++i) x.push_back(T(i) / 25);
  x[5] = std::numeric_limits<T>::quiet_NaN();  // a neighbour changes nothing
  for (const auto function : {probe.tanh, probe.tanh_of_exponent, probe.sigmoid_of_exponent}) {
    const T least = function == probe.sigmoid_of_exponent ? T(0) : T(-1);
    y.assign(x.size(), T(77));
    function(x.data(), static_cast<rnncore::index>(x.size()), y.data());
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (i == 5) continue;
      REQUIRE(y[i] >= least);
      REQUIRE(y[i] <= 1);
      REQUIRE(y[i] == at(function, x[i]));
    }
  }
}
