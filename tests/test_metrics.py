"""Measures of forecasts, against figures worked out by hand."""

import numpy as np
import pytest

from numlstm.metrics import (
    last_value_forecast,
    mean_absolute_scaled_error,
    seasonal_naive_forecast,
)

TRAIN = [1.0, 4.0, 2.0, 7.0]  # steps of 3, 2 and 5; seasons of two differ by 1 and 3


def test_mase_against_the_last_value():
    # Errors of 1 and 4, 2.5 on average; the last value is off by (3 + 2 + 5) / 3 on average.
    assert mean_absolute_scaled_error([8, 9], [9, 5], y_train=TRAIN) == pytest.approx(0.75)


def test_mase_against_the_last_season():
    # The value of two steps ago is off by (1 + 3) / 2 = 2 on average.
    assert mean_absolute_scaled_error([8, 9], [9, 5], y_train=TRAIN, period=2) == 1.25


def test_mase_of_a_perfect_forecast_is_0():
    assert mean_absolute_scaled_error([8, 9], [8, 9], y_train=TRAIN) == 0


def test_mase_of_the_seasonal_naive_forecast_is_1_where_it_stays_as_bad():
    y = np.arange(12.0)  # every step is 1 up
    forecast = last_value_forecast(y[:11], 1)
    assert mean_absolute_scaled_error(y[11:], forecast, y_train=y[:11]) == 1


def test_mase_leaves_missing_values_out():
    # Steps of 3 and 5 are left, 4 on average; one error is left, 1.
    train = [1.0, 4.0, np.nan, 2.0, 7.0]
    assert mean_absolute_scaled_error([8, np.nan], [9, 5], y_train=train) == 0.25


def test_mase_has_no_unit():
    a = mean_absolute_scaled_error([8, 9], [9, 5], y_train=TRAIN)
    scaled = [np.multiply(1000, values) for values in ([8, 9], [9, 5], TRAIN)]
    assert mean_absolute_scaled_error(*scaled[:2], y_train=scaled[2]) == pytest.approx(a)


@pytest.mark.parametrize("period", [0, -1, 4, 5])
def test_mase_needs_a_series_longer_than_a_period(period):
    with pytest.raises(ValueError, match="period must be at least 1 and less than the 4 values"):
        mean_absolute_scaled_error([8], [9], y_train=TRAIN, period=period)


@pytest.mark.parametrize("train", [[3, 3, 3], [np.nan] * 3, [1, np.nan, 2]])
def test_mase_needs_a_scale(train):
    with pytest.raises(ValueError, match="must differ"):
        mean_absolute_scaled_error([8], [9], y_train=train)


@pytest.mark.parametrize("forecast", [[9, 5, 1], [[9], [5]], 9])
def test_mase_needs_a_forecast_of_the_same_shape(forecast):
    with pytest.raises(ValueError, match="shape"):
        mean_absolute_scaled_error([8, 9], forecast, y_train=TRAIN)


def test_the_last_season_goes_on():
    np.testing.assert_array_equal(seasonal_naive_forecast(TRAIN, 5, 3), [4, 2, 7, 4, 2])
    np.testing.assert_array_equal(seasonal_naive_forecast(TRAIN, 2, 4), [1, 4])
    np.testing.assert_array_equal(seasonal_naive_forecast(TRAIN, 3, 1), [7, 7, 7])


@pytest.mark.parametrize("period", [0, -2, 5])
def test_a_season_longer_than_the_series_is_refused(period):
    with pytest.raises(ValueError, match="period must be from 1 to the 4 values"):
        seasonal_naive_forecast(TRAIN, 5, period)


def test_the_last_value_goes_on():
    forecast = last_value_forecast(TRAIN, 3)
    np.testing.assert_array_equal(forecast, [7, 7, 7])
    assert forecast.dtype == np.float64
