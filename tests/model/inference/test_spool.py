from model.inference.spool import Spool


def test_values_come_back_in_order_and_may_be_added_meanwhile():
    spool = Spool()
    assert list(spool.values()) == [] and len(spool) == 0
    for index in range(5):
        spool.append({"n": index, "text": "é\n"})
        assert [value["n"] for value in spool.values()] == list(range(index + 1))
    assert len(spool) == 5
    assert [value["n"] for value in spool.values(1, 3)] == [1, 2]
    assert [value["n"] for value in spool.values(4, 9)] == [4]
    assert list(spool.values(7, 9)) == []
    assert all("\n" not in line for line in spool.lines())
