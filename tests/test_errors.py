import pickle

from dmh_edge.errors import MissingExtraError


def test_an_error_arrives_whole_from_a_worker_process():
    error = MissingExtraError("torch", "train", "training")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert 'pip install ".[train]"' in str(error)
