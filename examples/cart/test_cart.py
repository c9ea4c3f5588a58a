"""The cart keeps the robot protocol."""

from cart import Cart

from dmh_edge.robots.contract_test import check_robot


def test_the_cart_keeps_the_protocol() -> None:
    check_robot(Cart)
