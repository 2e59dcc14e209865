"""What was measured of the sensors: kept by evaluator and assistant, the newest figures win."""

import msgspec
from sqlalchemy import Engine

from evidence.records import Accuracy, SensorFigures
from monitor.store.sensors import accuracies, get_sensor, put_sensors

FIGURES = SensorFigures(
    evaluator_version="e-1",
    assistant="shop",
    accuracy=Accuracy(sensitivity=0.8, n_lies=200, specificity=0.9, n_honest=300.5),
    prevalence=0.4,
    card={"auroc": 0.9, "blind": ["known facts"]},
)


def test_figures_come_back_as_they_were(engine: Engine) -> None:
    other = msgspec.structs.replace(FIGURES, assistant="bank", card={})
    with engine.begin() as connection:
        put_sensors(connection, [FIGURES, other], now_s=1.0)
        put_sensors(connection, [], now_s=2.0)
    with engine.connect() as connection:
        assert get_sensor(connection, "e-1", "shop") == FIGURES
        assert get_sensor(connection, "e-1", "bank") == other
        assert get_sensor(connection, "e-2", "shop") is None
        assert set(accuracies(connection)) == {("e-1", "shop"), ("e-1", "bank")}


def test_a_worker_that_begins_again_replaces_them(engine: Engine) -> None:
    better = msgspec.structs.replace(
        FIGURES, accuracy=msgspec.structs.replace(FIGURES.accuracy, sensitivity=0.95)
    )
    newer = msgspec.structs.replace(FIGURES, evaluator_version="e-2")
    for now_s, figures in ((1.0, FIGURES), (2.0, newer), (3.0, better)):
        with engine.begin() as connection:
            put_sensors(connection, [figures], now_s=now_s)
    with engine.connect() as connection:
        assert accuracies(connection)["e-1", "shop"].sensitivity == 0.95
        assert set(accuracies(connection, newest=1)) == {("e-1", "shop")}, "seen last"


def test_the_sensor_for_every_other_assistant_serves_where_there_is_none(engine: Engine) -> None:
    common = msgspec.structs.replace(FIGURES, assistant="")
    with engine.begin() as connection:
        put_sensors(connection, [common, FIGURES], now_s=1.0)
    with engine.connect() as connection:
        assert get_sensor(connection, "e-1", "shop") == FIGURES
        assert get_sensor(connection, "e-1", "bank") == common
