"""Operations over the positions of histories."""
