import threading
import types

from lmn_tf.serving.user_cache import UserCache


def value(size):
    return types.SimpleNamespace(num_bytes=size)


def test_what_is_unused_for_longest_makes_room():
    cache, values = UserCache(max_bytes=10), [value(4), value(4), value(4)]
    cache.put("a", values[0])
    cache.put("b", values[1])
    assert cache.get("a") is values[0]
    cache.put("c", values[2])
    assert cache.get("b") is None and cache.get("a") is values[0] and cache.get("c") is values[2]
    assert len(cache) == 2 and cache.num_bytes == 8


def test_a_value_takes_the_place_of_the_one_before():
    cache = UserCache(max_bytes=10)
    cache.put("a", value(9))
    cache.put("a", value(3))
    assert len(cache) == 1 and cache.num_bytes == 3


def test_what_is_too_large_is_not_kept():
    cache, other = UserCache(max_bytes=10), value(4)
    cache.put("a", value(5))
    cache.put("b", other)
    for _ in range(2):
        cache.put("a", value(11))
        assert cache.get("a") is None and cache.get("b") is other
        assert len(cache) == 1 and cache.num_bytes == 4


def test_threads_do_not_lose_count():
    cache = UserCache(max_bytes=50)

    def work(thread):
        for index in range(300):
            cache.put((thread + index) % 20, value(1 + index % 7))
            cache.get(index % 20)

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [cache.get(key) for key in range(20)]
    assert cache.num_bytes == sum(one.num_bytes for one in found if one) <= 50
