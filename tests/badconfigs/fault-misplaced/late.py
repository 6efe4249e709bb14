async def change(lab: object) -> None:
    pass
